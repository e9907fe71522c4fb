import type { Engine } from "../engine/engine.js";
import type { AdapterVersion } from "./adapter-version.js";
import { DeviceTier } from "./device-tier.js";
import { asAdapterFailure, isPermanent } from "./engine-failure.js";
import { ContentChanged, HostTier } from "./host-tier.js";

/** Budgets of the tiers, and who hears of changes. */
export interface ResidenceOptions {
  readonly engine: Engine;
  /** Bytes of adapters in host memory. */
  readonly hostBytes: number;
  /** Longest wait for room on the device, in milliseconds. */
  readonly roomWaitMillis: number;
  /** How long a version in use stays when parked ones want its room, in milliseconds; 0: to the end of its use. */
  readonly turnMillis: number;
  readonly changed: (version: AdapterVersion) => void;
}

/** Where versions are: moves them between host memory and device, and counts who uses them. */
export class Residence {
  private readonly options: ResidenceOptions;
  private readonly host: HostTier;
  private readonly device: DeviceTier;
  private readonly loading = new Map<AdapterVersion, Promise<void>>();

  constructor(options: ResidenceOptions) {
    this.options = options;
    this.host = new HostTier(options.engine, options.hostBytes, options.changed);
    this.device = new DeviceTier({ ...options, host: this.host });
  }

  /** Bytes on the device of versions that nobody uses or has pinned. */
  get evictableBytes(): number {
    return this.device.evictableBytes;
  }

  /** Somebody uses a version from now on: it will not be evicted. */
  retain(version: AdapterVersion): void {
    version.references++;
    version.leaving = false;
    this.device.use(version);
    this.options.changed(version);
  }

  /** Ends one use. A version that is superseded or unloaded goes with its last one. */
  release(version: AdapterVersion): void {
    version.references--;
    this.options.changed(version);
    this.dropIfDone(version);
    this.device.notify();
  }

  /** So many more, or fewer, of the requests that use a version wait for their first token. */
  awaitFirst(version: AdapterVersion, more: 1 | -1): void {
    version.unserved += more;
    this.device.notify();
  }

  /** Brings a version, which the caller retains, to the device. Callers at once share one load. */
  async toDevice(version: AdapterVersion): Promise<void> {
    // Again, because a load ends early when those that asked for it have gone, just before others came.
    while (version.slot === undefined && version.references > 0) {
      let load = this.loading.get(version);
      if (!load) {
        load = this.startLoad(version).finally(() => this.loading.delete(version));
        this.loading.set(version, load);
      }
      await load;
    }
  }

  /** Brings a version to host memory. */
  async toHost(version: AdapterVersion): Promise<void> {
    if (version.host) return;
    await this.guard(version, this.host.load(version));
  }

  /** Brings a version, which the caller retains, to the device and keeps it there. Rejects if that would starve others. */
  async pin(version: AdapterVersion): Promise<void> {
    if (version.deviceBytes === 0) await this.toHost(version);
    this.device.assertCanPin(version);
    await this.toDevice(version);
    await this.device.whenBack(version);
    if (version.slot === undefined) return; // whoever asked for it has gone
    this.device.assertCanPin(version); // others may have come meanwhile
    this.setPinned(version, true);
  }

  unpin(version: AdapterVersion): void {
    this.setPinned(version, false);
  }

  /** Takes a version off device and host memory when nobody uses it any more. Until then it takes its turns as before. */
  unload(version: AdapterVersion): void {
    this.setPinned(version, false);
    version.leaving = true;
    this.dropIfDone(version);
  }

  /** Drops a version that is unloaded or that nobody can ask for any more, unless a request still uses it. */
  dropIfDone(version: AdapterVersion): void {
    if (!(version.superseded || version.leaving) || version.references > 0) return;
    version.leaving = false;
    this.device.drop(version);
    this.host.drop(version);
  }

  private setPinned(version: AdapterVersion, pinned: boolean): void {
    if (version.pinned === pinned) return;
    version.pinned = pinned;
    this.options.changed(version);
    this.device.notify();
  }

  private async startLoad(version: AdapterVersion): Promise<void> {
    const wait = { millis: this.options.roomWaitMillis, wanted: () => version.references > 0 };
    await this.guard(version, this.device.load(version, wait));
  }

  /** Says in our terms why a load failed, and remembers it where the content is at fault. */
  private async guard(version: AdapterVersion, load: Promise<unknown>): Promise<void> {
    try {
      await load;
    } catch (error) {
      if (error instanceof ContentChanged) throw error;
      const failure = asAdapterFailure(version.folder, error);
      if (isPermanent(failure)) {
        version.failure = failure;
        this.options.changed(version);
      }
      throw failure;
    }
  }
}
