import { performance } from "node:perf_hooks";
import { EngineError, type Engine, type HostAdapter } from "../engine/engine.js";
import { Failure } from "../failure.js";
import { Signal } from "../signal.js";
import type { AdapterVersion } from "./adapter-version.js";
import type { HostTier } from "./host-tier.js";
import { PlaceQueue } from "./place-queue.js";
import { Recency } from "./recency.js";
import { Turns } from "./turns.js";

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
  /** How long a version in use stays when parked ones want its room, in milliseconds; 0: to the end of its use. */
  readonly turnMillis: number;
  readonly changed: (version: AdapterVersion) => void;
}

/** A version that is to have a place. */
interface Claim {
  readonly version: AdapterVersion;
  readonly wanted: () => boolean;
  /** When it is given up for lack of room. */
  readonly end: number;
  /** Packs it; the slot, once the engine has found room, or undefined if it was dropped meanwhile. */
  readonly put: (host: HostAdapter) => Promise<number | undefined>;
  /** It is there, or nobody wants it any more. */
  readonly settle: () => void;
  readonly fail: (error: unknown) => void;
}

/**
 * Adapters on the device, ready for the next step. The engine knows how many fit: when there is no room, the adapter that
 * was not used for the longest time goes. If all are in use, they take turns (see `Turns`): one is parked, which means
 * that its requests wait until it is back. It queues for that like any load (see `PlaceQueue`). So with more adapters in
 * use than fit, nobody waits for others to end, and least of all those who have had nothing yet. Pinned ones stay, but
 * never so many of them that one in use finds no place for its turns.
 *
 * Places are given one after another; who waits for one is not overtaken for ever by smaller ones.
 */
export class DeviceTier {
  private readonly engine: Engine;
  private readonly host: HostTier;
  private readonly changed: (version: AdapterVersion) => void;
  private readonly turns: Turns;
  private readonly attached = new Recency<AdapterVersion>();
  private readonly queue = new PlaceQueue<Claim>(({ version }) => version.unserved > 0);
  /** Parked versions, and when each is back or has gone. */
  private readonly returns = new Map<AdapterVersion, Promise<void>>();
  /** Something happened that whoever waits for a place may have waited for. */
  private readonly news = new Signal();
  private serving = false;
  /** Until when the engine is expected to free the memory of what was dropped or parked. */
  private freeingUntil = 0;

  constructor({ engine, host, turnMillis, changed }: DeviceTierOptions) {
    this.engine = engine;
    this.host = host;
    this.turns = new Turns(turnMillis);
    this.changed = changed;
    engine.onStep(() => this.news.notify());
  }

  /** Bytes that a load could have by eviction. */
  get evictableBytes(): number {
    return this.attachedBytes(isEvictable);
  }

  /** Marks a version as used now. */
  use(version: AdapterVersion): void {
    if (version.slot !== undefined && !version.parked) this.attached.use(version);
  }

  /** Tells that the use of a version has changed, or whether it is pinned: there may be room now, or more hurry. */
  notify(): void {
    this.news.notify();
  }

  /** @throws Failure if those that are pinned and this one would leave too little room for the turns of those in use. */
  assertCanPin(version: AdapterVersion): void {
    if (version.pinned) return;
    this.assertCanFit(version, version.deviceBytes);
    const others = new Set([...this.attached, ...[...this.queue.claims].map((claim) => claim.version), ...this.returns.keys()]);
    others.delete(version);
    let [pinned, largest] = [version.deviceBytes, 0];
    for (const other of others) {
      if (other.pinned) pinned += other.deviceBytes;
      else if (other.references > 0) largest = Math.max(largest, other.deviceBytes);
    }
    const { adapterBytes } = this.engine.info;
    if (pinned + largest <= adapterBytes) return;
    const turns = largest > 0 ? `, where adapters in use need ${largest} for their turns` : "";
    const message =
      `adapter ${version.folder.id} cannot be pinned: ${pinned} of ${adapterBytes} bytes for adapters would be pinned${turns}; ` +
      "unpin others, or raise --adapter-bytes";
    throw new Failure("ADAPTER_MEMORY_FULL", message, { metadata: { adapter: version.folder.id } });
  }

  /** Brings a version to the device, unless nobody wants it any more. Rejects if it found no room in time. */
  async load(version: AdapterVersion, { millis, wanted }: RoomWait): Promise<void> {
    const end = performance.now() + millis;
    const put = async (host: HostAdapter): Promise<number> => this.engine.attachAdapter(host, version.digest);
    await this.place({ version, end, wanted: () => wanted() && version.slot === undefined, put });
  }

  /** Resolves when a version is not parked, or not any more: it is back, or has gone. */
  async whenBack(version: AdapterVersion): Promise<void> {
    for (let back = this.returns.get(version); back; back = this.returns.get(version)) await back;
  }

  /** Takes a version off the device that nobody uses. */
  drop(version: AdapterVersion): void {
    if (version.slot === undefined) return;
    this.engine.detachAdapter(version.slot);
    version.slot = undefined;
    version.parked = false;
    this.attached.delete(version);
    this.expectFreeing(RECHECK_MILLIS);
    this.changed(version);
    this.news.notify();
  }

  /** Resolves when a version has its place, or nobody wants it any more. */
  private async place(claim: Omit<Claim, "settle" | "fail">): Promise<void> {
    await new Promise<void>((settle, fail) => {
      this.queue.enter({ ...claim, settle, fail });
      this.news.notify(); // it may go ahead of whoever waits
      void this.serve();
    });
  }

  /** Gives places until nobody waits for one. */
  private async serve(): Promise<void> {
    if (this.serving) return;
    this.serving = true;
    for (let claim = this.queue.next(); claim; claim = this.queue.next()) {
      try {
        await this.advance(claim);
      } catch (error) {
        this.queue.leave(claim);
        claim.fail(error);
      }
    }
    this.serving = false;
  }

  /** Gives a claim its place, makes room for it, or waits for what may change. Who is next is asked again then. */
  private async advance(claim: Claim): Promise<void> {
    const { version } = claim;
    if (!claim.wanted()) {
      this.queue.leave(claim);
      return claim.settle();
    }
    const begin = performance.now();
    // Each time anew: while it waited, the host copy may have been unloaded.
    const host = await this.host.load(version);
    this.assertCanFit(version, host.deviceBytes);
    while (this.wantedBytes(claim) > this.room() && this.makeRoom(claim));
    const { adapterBytesUsed } = this.engine.load();
    if (adapterBytesUsed + host.deviceBytes <= this.engine.info.adapterBytes) {
      const slot = await this.put(claim, host);
      if (slot === undefined) return;
      return this.arrived(claim, slot, begin);
    }
    const left = this.freeingUntil - performance.now();
    if (left > 0 && host.deviceBytes <= this.room()) return this.news.wait(Math.min(RECHECK_MILLIS, left));
    if (!this.makeRoom(claim)) await this.waitForRoom(claim);
  }

  private arrived(claim: Claim, slot: number, begin: number): void {
    const { version } = claim;
    const now = performance.now();
    version.slot = slot;
    version.parked = false;
    version.loadMicros = Math.round((now - begin) * 1000);
    version.residentSince = { now, steps: this.engine.load().steps };
    this.attached.use(version);
    this.changed(version);
    this.queue.served(claim);
    claim.settle();
  }

  /** The slot, or undefined where there was no room after all, or where the version was unloaded just now. */
  private async put({ version, put }: Claim, host: HostAdapter): Promise<number | undefined> {
    if (version.host !== host) return undefined;
    try {
      return await put(host);
    } catch (error) {
      if (error instanceof EngineError && error.code === "RESOURCE_EXHAUSTED") return undefined;
      if (isClosed(error)) throw error;
      // The adapter was checked when it was opened: it is not at fault.
      throw new Failure("INTERNAL", `adapter ${version.folder.id} could not be packed for the device`, { cause: error });
    }
  }

  /** Bytes that are not taken, once the engine has freed what was dropped and parked. */
  private room(): number {
    return this.engine.info.adapterBytes - this.attachedBytes(() => true);
  }

  /** Bytes for a claim and for all others that cannot wait: whom they park frees its memory at the end of one step. */
  private wantedBytes(claim: Claim): number {
    let bytes = claim.version.deviceBytes;
    for (const other of this.queue.claims) {
      if (other !== claim && this.queue.cannotWait(other) && other.wanted()) bytes += other.version.deviceBytes;
    }
    return bytes;
  }

  /** Evicts a version that nobody uses, or parks one. False if that cannot be, or not yet. */
  private makeRoom(claim: Claim): boolean {
    for (const version of this.attached) {
      if (!isEvictable(version)) continue;
      this.drop(version);
      return true;
    }
    const at = { now: performance.now(), steps: this.engine.load().steps };
    const longest = this.turns.over(this.attached, at, this.queue.cannotWait(claim));
    if (longest) this.park(longest);
    return longest !== undefined;
  }

  private park(version: AdapterVersion): void {
    if (version.slot === undefined) return;
    this.engine.parkAdapter(version.slot);
    version.parked = true;
    this.attached.delete(version);
    this.expectFreeing(STEP_MILLIS);
    this.changed(version);
    const back = this.bringBack(version, version.slot).finally(() => {
      if (this.returns.get(version) === back) this.returns.delete(version);
    });
    this.returns.set(version, back);
  }

  /** Queues for the next turn of a parked version. If all of its requests have ended by then, it goes. */
  private async bringBack(version: AdapterVersion, slot: number): Promise<void> {
    // It can be dropped at any time, even while the engine packs it, and then come to another slot.
    const isParked = (): boolean => version.parked && version.slot === slot;
    const put = async (host: HostAdapter): Promise<number | undefined> => {
      await this.engine.resumeAdapter(host, slot);
      return isParked() ? slot : undefined;
    };
    const wanted = (): boolean => isParked() && version.references > 0;
    while (isParked()) {
      try {
        await this.place({ version, end: Number.POSITIVE_INFINITY, wanted, put });
        if (version.slot === slot && version.references === 0) this.drop(version);
      } catch (error) {
        if (isClosed(error)) return;
        await new Promise((resolve) => setTimeout(resolve, RESUME_RETRY_MILLIS).unref());
      }
    }
  }

  private async waitForRoom(claim: Claim): Promise<void> {
    const { version, end } = claim;
    const { adapterBytes } = this.engine.info;
    const pinned = this.attachedBytes((other) => other.pinned);
    const hopeless = pinned + version.deviceBytes > adapterBytes;
    const isParked = !Number.isFinite(end);
    if (hopeless && isParked) return this.endPin();
    const left = end - performance.now();
    if (left <= 0 || hopeless) {
      const inUse = this.attachedBytes((other) => !other.pinned && !isUnused(other));
      const message =
        `there is no room for the ${version.deviceBytes} bytes of adapter ${version.folder.id}: of ${adapterBytes} bytes for ` +
        `adapters, ${pinned} are pinned and ${inUse} more in use; try again later, unpin adapters, or raise --adapter-bytes`;
      throw new Failure("ADAPTER_MEMORY_FULL", message, { retryAfterMillis: RETRY_AFTER_MILLIS });
    }
    await this.news.wait(Math.min(left, RECHECK_MILLIS));
  }

  /**
   * Ends a pin that keeps a parked version away, best one of a version that nobody uses. Pins are refused where they would
   * do that, but a name's pin passes on to its next content, which can be larger.
   */
  private endPin(): void {
    const pinned = [...this.attached].filter((version) => version.pinned);
    const version = pinned.find(isUnused) ?? pinned[0];
    if (!version) return;
    version.pinned = false;
    this.changed(version);
  }

  private expectFreeing(millis: number): void {
    this.freeingUntil = Math.max(this.freeingUntil, performance.now() + millis);
  }

  private attachedBytes(which: (version: AdapterVersion) => boolean): number {
    let bytes = 0;
    for (const version of this.attached) if (which(version)) bytes += version.deviceBytes;
    return bytes;
  }

  private assertCanFit({ folder }: AdapterVersion, bytes: number): void {
    const { adapterBytes } = this.engine.info;
    if (bytes <= adapterBytes) return;
    const message = `adapter ${folder.id} takes ${bytes} bytes on the device, which has ${adapterBytes} for adapters; raise --adapter-bytes`;
    throw new Failure("ADAPTER_MEMORY_FULL", message, { metadata: { adapter: folder.id } });
  }
}

/** Pinned versions and those in use stay. */
function isEvictable(version: AdapterVersion): boolean {
  return !version.pinned && isUnused(version);
}

function isUnused({ references }: AdapterVersion): boolean {
  return references === 0;
}

/** The engine is closed: there is nothing to be put anywhere any more. */
function isClosed(error: unknown): boolean {
  return error instanceof EngineError && error.code === "FAILED_PRECONDITION";
}
