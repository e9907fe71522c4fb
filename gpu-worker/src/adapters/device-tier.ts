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
/** Such a step can be long: so long, at most, is waited for the memory of a parked adapter before another one is parked. */
const STEP_MILLIS = 1000;
/** Time between tries to bring a parked adapter back that the engine could not pack. */
const RESUME_RETRY_MILLIS = 500;
const RETRY_AFTER_MILLIS = 1000;

/** How long, and for whom, a load waits for room. */
export interface RoomWait {
  /** Longest wait, in milliseconds. */
  readonly millis: number;
  /** Whether anybody still waits for the version. */
  readonly wanted: () => boolean;
}

/** What the device tier works with. */
export interface DeviceTierOptions {
  readonly engine: Engine;
  readonly host: HostTier;
  /** Runs loads one after another. */
  readonly loads: TaskQueue;
  /** How long a version in use stays when others want its room, in milliseconds; 0: to the end of its use. */
  readonly turnMillis: number;
  readonly changed: (version: AdapterVersion) => void;
}

/** How a version gets its place: the slot, once the engine has found room. */
type Put = (host: HostAdapter) => Promise<number>;

/**
 * Adapters on the device, ready for the next step. The engine knows how many fit: when it says that there is no room,
 * the adapter that was not used for the longest time goes. If all are in use, they take turns: the one that is there for
 * the longest time, and at least for a turn, is parked, which means that its requests wait until it is back. It queues
 * for that like any load. So with more adapters in use than fit, nobody waits for others to end. Pinned ones never go.
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
  private readonly turnMillis: number;

  constructor({ engine, host, loads, turnMillis, changed }: DeviceTierOptions) {
    this.engine = engine;
    this.host = host;
    this.loads = loads;
    this.turnMillis = turnMillis;
    this.changed = changed;
  }

  /** Bytes that a load could have by eviction. */
  get evictableBytes(): number {
    return this.attachedBytes(isEvictable);
  }

  /** Marks a version as used now. */
  use(version: AdapterVersion): void {
    if (version.slot !== undefined && !version.parked) this.attached.use(version);
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

  /** Takes a version off the device. Requests that run with it keep its memory until they end; if parked, it stays. */
  drop(version: AdapterVersion): void {
    if (version.slot === undefined || (version.parked && version.references > 0)) return;
    this.engine.detachAdapter(version.slot);
    version.slot = undefined;
    version.parked = false;
    this.attached.delete(version);
    this.changed(version);
    this.freed.notify();
  }

  private async loadNow(version: AdapterVersion, end: number, wanted: () => boolean): Promise<void> {
    if (version.slot !== undefined) return;
    const begin = performance.now();
    const slot = await this.place(version, end, wanted, async (host) => this.engine.attachAdapter(host, version.digest));
    if (slot === undefined) return;
    version.slot = slot;
    this.arrived(version, begin);
  }

  /** Finds room for a version and puts it there. Undefined: nobody wants it any more. */
  private async place(version: AdapterVersion, end: number, wanted: () => boolean, put: Put): Promise<number | undefined> {
    const budget = this.engine.info.adapterBytes;
    let patience = performance.now() + RECHECK_MILLIS;
    while (wanted()) {
      // Each time anew: while the load waited for room, the host copy may have been unloaded.
      const host = await this.host.load(version);
      this.assertCanFit(version, host.deviceBytes);
      const slot = await this.attach(version, host, put);
      if (slot !== undefined) return slot;
      const now = performance.now();
      if (now < patience && this.attachedBytes(() => true) + host.deviceBytes <= budget) {
        // The engine is about to free what was dropped or parked: nobody else needs to go.
        await this.freed.wait(Math.min(RECHECK_MILLIS, patience - now));
      } else if (this.park(now)) {
        patience = now + STEP_MILLIS;
      } else if (!this.evict()) {
        const hopeless = this.attachedBytes(({ pinned }) => pinned) + host.deviceBytes > budget;
        await this.waitForRoom(version, hopeless ? 0 : end - now);
      }
    }
    return undefined;
  }

  private arrived(version: AdapterVersion, begin: number): void {
    const now = performance.now();
    version.loadMicros = Math.round((now - begin) * 1000);
    version.residentSince = now;
    this.attached.use(version);
    this.changed(version);
  }

  /** Parks the version in use whose turn has lasted longest, if nobody can be evicted and its turn is over. */
  private park(now: number): boolean {
    if (this.turnMillis === 0) return false;
    let longest: AdapterVersion | undefined;
    for (const version of this.attached) {
      if (isEvictable(version)) return false;
      const canPark = !version.pinned && version.host !== undefined && now >= version.residentSince + this.turnMillis;
      if (canPark && version.residentSince < (longest?.residentSince ?? Number.POSITIVE_INFINITY)) longest = version;
    }
    if (longest?.slot === undefined) return false;
    this.engine.parkAdapter(longest.slot);
    longest.parked = true;
    this.attached.delete(longest);
    this.changed(longest);
    void this.bringBack(longest);
    return true;
  }

  /** Queues for the next turn of a parked version. If all of its requests have ended by then, it goes. */
  private async bringBack(version: AdapterVersion): Promise<void> {
    while (version.parked) {
      try {
        await this.loads.run(async () => this.resumeNow(version));
      } catch (error) {
        if (error instanceof EngineError && error.code === "FAILED_PRECONDITION") return; // the engine is closed
        await new Promise((resolve) => setTimeout(resolve, RESUME_RETRY_MILLIS).unref());
      }
    }
  }

  private async resumeNow(version: AdapterVersion): Promise<void> {
    const { slot } = version;
    if (!version.parked || slot === undefined) return;
    const begin = performance.now();
    const resume: Put = async (host) => {
      await this.engine.resumeAdapter(host, slot);
      return slot;
    };
    const wanted = (): boolean => version.parked && version.references > 0;
    if ((await this.place(version, Number.POSITIVE_INFINITY, wanted, resume)) === undefined) return this.drop(version);
    version.parked = false;
    this.arrived(version, begin);
  }

  private attachedBytes(which: (version: AdapterVersion) => boolean): number {
    let bytes = 0;
    for (const version of this.attached) if (which(version)) bytes += version.deviceBytes;
    return bytes;
  }

  /** The slot, or undefined where there is no room, or where the host copy was unloaded just now. */
  private async attach(version: AdapterVersion, host: HostAdapter, put: Put): Promise<number | undefined> {
    if (version.host !== host) return undefined;
    try {
      return await put(host);
    } catch (error) {
      if (error instanceof EngineError && error.code === "RESOURCE_EXHAUSTED") return undefined;
      if (error instanceof EngineError && error.code === "FAILED_PRECONDITION") throw error; // the engine is closed
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
