import { performance } from "node:perf_hooks";
import { EngineError, type Engine, type HostAdapter } from "../engine/engine.js";
import { Failure } from "../failure.js";
import type { AdapterVersion } from "./adapter-version.js";
import type { HostTier } from "./host-tier.js";
import { Recency } from "./recency.js";
import type { TaskQueue } from "./task-queue.js";
import { Signal } from "../signal.js";

/** An engine frees the memory of an adapter at the end of a step, a moment after its last request has ended. */
const RECHECK_MILLIS = 20;
const RETRY_AFTER_MILLIS = 1000;

/** How long, and for whom, a load waits for room. */
export interface RoomWait {
  /** Longest wait, in milliseconds. */
  readonly millis: number;
  /** Whether anybody still waits for the version. */
  readonly wanted: () => boolean;
}

/**
 * Adapters on the device, ready for the next step. The engine knows how many fit: when it says that there is no room,
 * the adapter that was not used for the longest time goes. Pinned ones and those in use never do; if only such are
 * left, the load waits for one to become free.
 *
 * Loads are made one after another, first come first served: so a large adapter is not overtaken for ever by small
 * ones.
 */
export class DeviceTier {
  private readonly engine: Engine;
  private readonly host: HostTier;
  private readonly changed: (version: AdapterVersion) => void;
  private readonly attached = new Recency<AdapterVersion>();
  private readonly freed = new Signal();
  private readonly loads: TaskQueue;

  constructor(engine: Engine, host: HostTier, loads: TaskQueue, changed: (version: AdapterVersion) => void) {
    this.engine = engine;
    this.host = host;
    this.loads = loads;
    this.changed = changed;
  }

  /** Bytes that a load could have by eviction. */
  get evictableBytes(): number {
    return this.attachedBytes(isEvictable);
  }

  /** Marks a version as used now. */
  use(version: AdapterVersion): void {
    if (version.slot !== undefined) this.attached.use(version);
  }

  /** Tells that a version is not in use or not pinned any more: there may be room now. */
  release(): void {
    this.freed.notify();
  }

  /** Brings a version to the device, unless nobody wants it any more. Rejects if it found no room in time. */
  async load(version: AdapterVersion, wait: RoomWait): Promise<void> {
    const end = performance.now() + wait.millis;
    return this.loads.run(async () => this.loadNow(version, end, wait.wanted));
  }

  /** Takes a version off the device. Requests that run with it keep its memory until they end. */
  drop(version: AdapterVersion): void {
    if (version.slot === undefined) return;
    this.engine.detachAdapter(version.slot);
    version.slot = undefined;
    this.attached.delete(version);
    this.changed(version);
    this.freed.notify();
  }

  private async loadNow(version: AdapterVersion, end: number, wanted: () => boolean): Promise<void> {
    if (version.slot !== undefined) return;
    const begin = performance.now();
    const budget = this.engine.info.adapterBytes;
    let patient = true;
    while (version.slot === undefined) {
      if (!wanted()) return;
      // Each time anew: while the load waited for room, the host copy may have been unloaded.
      const host = await this.host.load(version);
      this.assertCanFit(version, host.deviceBytes);
      const slot = await this.attach(version, host);
      if (slot !== undefined) {
        version.slot = slot;
      } else if (patient && this.attachedBytes(() => true) + host.deviceBytes <= budget) {
        // The engine is about to free what was dropped: nobody else needs to go.
        patient = false;
        await this.freed.wait(RECHECK_MILLIS);
      } else if (!this.evict()) {
        const hopeless = this.attachedBytes(({ pinned }) => pinned) + host.deviceBytes > budget;
        await this.waitForRoom(version, hopeless ? 0 : end - performance.now());
      }
    }
    version.loadMicros = Math.round((performance.now() - begin) * 1000);
    this.attached.use(version);
    this.changed(version);
  }

  private attachedBytes(which: (version: AdapterVersion) => boolean): number {
    let bytes = 0;
    for (const version of this.attached) if (which(version)) bytes += version.deviceBytes;
    return bytes;
  }

  /** The slot, or undefined where there is no room, or where the host copy was unloaded just now. */
  private async attach(version: AdapterVersion, host: HostAdapter): Promise<number | undefined> {
    if (version.host !== host) return undefined;
    try {
      return await this.engine.attachAdapter(host, version.digest);
    } catch (error) {
      if (error instanceof EngineError && error.code === "RESOURCE_EXHAUSTED") return undefined;
      // The adapter was checked when it was opened: it is not at fault.
      throw new Failure("INTERNAL", `adapter ${version.folder.id} could not be packed for the device`, { cause: error });
    }
  }

  private evict(): boolean {
    for (const version of this.attached) {
      if (!isEvictable(version)) continue;
      this.drop(version);
      return true;
    }
    return false;
  }

  private async waitForRoom(version: AdapterVersion, left: number): Promise<void> {
    if (left <= 0) {
      const message = `there is no room for adapter ${version.folder.id}: all adapter memory is pinned or in use`;
      throw new Failure("ADAPTER_MEMORY_FULL", message, { retryAfterMillis: RETRY_AFTER_MILLIS });
    }
    await this.freed.wait(Math.min(left, RECHECK_MILLIS));
  }

  private assertCanFit({ folder }: AdapterVersion, bytes: number): void {
    const { adapterBytes } = this.engine.info;
    if (bytes <= adapterBytes) return;
    const message = `adapter ${folder.id} takes ${bytes} bytes on the device, which has ${adapterBytes} for adapters; raise --adapter-bytes`;
    throw new Failure("ADAPTER_MEMORY_FULL", message, { metadata: { adapter: folder.id } });
  }
}

/** Pinned versions and those in use stay. */
function isEvictable({ pinned, references }: AdapterVersion): boolean {
  return !pinned && references === 0;
}
