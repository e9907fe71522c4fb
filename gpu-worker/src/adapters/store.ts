import { performance } from "node:perf_hooks";
import { OnMiss, Tier, type Adapter, type AdapterIdentity, type AdapterRef } from "@polygraft/api";
import { abortable } from "../abortable.js";
import type { Engine } from "../engine/engine.js";
import { Failure, invalidFields } from "../failure.js";
import type { WorkerIdentity } from "../identity.js";
import { AdapterUse } from "./adapter-use.js";
import type { AdapterVersion } from "./adapter-version.js";
import { Catalog, type AdapterSources, type Resolved } from "./catalog.js";
import { describeAdapter, identityOf } from "./describe.js";
import { Followers } from "./followers.js";
import { ContentChanged } from "./host-tier.js";
import { describeReference, isHubId, parseReference, type AdapterReference } from "./reference.js";
import { Residence } from "./residence.js";
import { SharedTasks } from "./shared-tasks.js";

/** What an adapter store needs. */
export interface AdapterStoreOptions {
  readonly engine: Engine;
  readonly worker: WorkerIdentity;
  readonly sources: AdapterSources;
  /** Bytes of adapters in host memory. */
  readonly hostBytes: number;
  /** Longest wait for room on the device, in milliseconds. Default: 10,000. */
  readonly roomWaitMillis?: number;
  /** How long an adapter in use stays when parked ones want its room, in milliseconds; 0: to the end of its use. Default: 1,000. */
  readonly turnMillis?: number;
}

/** An adapter on the device, for one request. */
export interface AdapterLease {
  readonly identity: AdapterIdentity;
  readonly slot: number;
  /** Where it was when it was asked for. */
  readonly tier: Tier;
  /** Microseconds until it was ready. */
  readonly waitMicros: number;
  /** The content attached at a slot that took over while the request ran. */
  identityAt(slot: number): AdapterIdentity | undefined;
  /** The request has had its first token. */
  begun(): void;
  /** The request has ended. Call once. */
  leave(): void;
}

/** Files that change again and again while they are read are given up after so many tries. */
const READ_ATTEMPTS = 3;
const RETRY_MILLIS = 500;
const MAX_MISSES = 1000;

/** A signal that is never aborted. */
const NEVER = new AbortController().signal;

/**
 * The adapters of a worker, on their way from source to disk to host memory to device. Requests lease them, operators
 * load, unload and pin them, routers hear of every change.
 */
export class AdapterStore {
  private readonly worker: WorkerIdentity;
  private readonly catalog: Catalog;
  private readonly residence: Residence;
  private readonly followers: Followers;
  private readonly listeners = new Set<(key: string) => void>();
  private readonly background = new SharedTasks<void>();
  /** What a load in the background failed of, told to the next request that does not wait for loads. */
  private readonly misses = new Map<string, Failure>();
  private waitingRequests = 0;

  constructor({ engine, worker, sources, hostBytes, roomWaitMillis = 10_000, turnMillis = 1000 }: AdapterStoreOptions) {
    this.worker = worker;
    const changed = (version: AdapterVersion): void => this.announce(describeReference(version.folder));
    this.residence = new Residence({ engine, hostBytes, roomWaitMillis, turnMillis, changed });
    this.followers = new Followers(engine);
    this.catalog = new Catalog(sources, {
      changed: (key) => this.announce(key),
      superseded: (version) => this.residence.dropIfDone(version),
    });
  }

  /** Requests that wait for an adapter. */
  get waiting(): number {
    return this.waitingRequests;
  }

  /** Bytes on the device of adapters that nobody uses or has pinned. */
  get evictableBytes(): number {
    return this.residence.evictableBytes;
  }

  /** Looks for adapters that are new, changed or gone. */
  async rescan(): Promise<void> {
    await this.catalog.rescan();
  }

  /** Keys of all adapters known ("id" or "id@revision"), in order. */
  keys(): string[] {
    return [...this.catalog.keys()].sort();
  }

  /** The adapter of a key, or undefined if there is none any more. */
  describe(key: string): Adapter | undefined {
    const entry = this.catalog.get(key);
    return entry && describeAdapter(this.worker.name, entry);
  }

  /** Keys of all revisions of an id. */
  keysOf(id: string): string[] {
    return this.catalog.keysOf(id);
  }

  /** Calls back with the key of each adapter that is new, gone or changed. The result ends it. */
  subscribe(listener: (key: string) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /**
   * The adapter on the device, for one request. Undefined: it is not there yet, and `onMiss` asks for the base then.
   * Rejects with the signal's reason once that is aborted.
   */
  async acquire(ref: AdapterRef, onMiss: OnMiss, signal: AbortSignal): Promise<AdapterLease | undefined> {
    const reference = parseReference(ref);
    const mayWait = onMiss !== OnMiss.FAIL && onMiss !== OnMiss.BASE;
    if (mayWait || (await this.isReady(reference, signal))) return this.lease(reference, signal);
    if (onMiss === OnMiss.BASE) return undefined;
    const name = describeReference(reference);
    throw new Failure("ADAPTER_NOT_READY", `adapter ${name} is not on the device yet; it is being loaded`, {
      metadata: { adapter: name },
      retryAfterMillis: RETRY_MILLIS,
    });
  }

  /** The adapter as it is now. Rejects if there is none. */
  async get(ref: AdapterRef): Promise<Adapter> {
    const { version } = await this.catalog.resolve(parseReference(ref));
    return this.described(version);
  }

  /**
   * Brings an adapter to the device, and moves the streams to it that run with another content of its name. Those whose
   * request named a revision or a digest stay as they are.
   */
  async swap(ref: AdapterRef, pin: boolean, signal: AbortSignal): Promise<Adapter> {
    const reference = parseReference(ref);
    const named = (["revision", "digest"] as const).filter((field) => reference[field] !== "");
    const description = "must be empty for a swap in place: what follows a name goes where the name leads";
    if (named.length > 0) throw invalidFields(named.map((field) => ({ field: `adapter.${field}`, description })));
    return this.withContent(reference, signal, async ({ version }) => {
      await (pin ? this.residence.pin(version) : this.residence.toDevice(version));
      if (version.slot === undefined) throw new Error(`adapter ${version.folder.id} was taken off the device while it was loaded`);
      this.followers.moveTo(version, version.slot);
      return this.described(version);
    });
  }

  /** Brings an adapter to a tier, and keeps it on the device if `pin` is set. */
  async load(ref: AdapterRef, tier: Tier, pin: boolean, signal: AbortSignal): Promise<Adapter> {
    return this.withContent(parseReference(ref), signal, async ({ version }) => {
      if (pin) await this.residence.pin(version);
      else if (tier === Tier.DEVICE || tier === Tier.UNSPECIFIED) await this.residence.toDevice(version);
      else if (tier === Tier.HOST) await this.residence.toHost(version);
      return this.described(version);
    });
  }

  /**
   * Takes an adapter off device and host memory. Requests that run with it go on undisturbed, and it goes with the last of
   * them, unless it is asked for again before.
   */
  async unload(ref: AdapterRef): Promise<Adapter> {
    const { version } = await this.catalog.resolve(parseReference(ref));
    this.residence.unload(version);
    return this.described(version);
  }

  /** Keeps an adapter on the device, loading it if need be, or lets it go again. */
  async pin(ref: AdapterRef, pinned: boolean, signal: AbortSignal): Promise<Adapter> {
    if (pinned) return this.load(ref, Tier.DEVICE, true, signal);
    const { version } = await abortable(this.catalog.resolve(parseReference(ref)), signal);
    this.residence.unpin(version);
    return this.described(version);
  }

  private async lease(reference: AdapterReference, signal: AbortSignal): Promise<AdapterLease> {
    const begin = performance.now();
    this.waitingRequests++;
    try {
      return await this.withContent(reference, signal, async ({ version, tier }) => {
        const use = new AdapterUse(this.residence, version);
        const leave = (): void => use.end();
        signal.addEventListener("abort", leave, { once: true });
        try {
          await this.residence.toDevice(version);
          signal.throwIfAborted();
          const { slot } = version;
          if (slot === undefined) throw new Error(`adapter ${version.folder.id} was taken off the device while it was asked for`);
          const follows = reference.revision === "" && reference.digest === "";
          const place = follows ? this.followers.join(use, slot) : { slot, identityAt: () => undefined, leave };
          const waitMicros = Math.round((performance.now() - begin) * 1000);
          return { identity: identityOf(version), tier, waitMicros, ...place, begun: () => use.begin() };
        } catch (error) {
          use.end();
          throw error;
        } finally {
          signal.removeEventListener("abort", leave);
        }
      });
    } finally {
      this.waitingRequests--;
    }
  }

  /** Whether an adapter is on the device. If not, it is brought there in the background. */
  private async isReady(reference: AdapterReference, signal: AbortSignal): Promise<boolean> {
    const name = describeReference(reference);
    const miss = this.misses.get(name);
    this.misses.delete(name);
    if (miss) throw miss;
    // A download may take long; whether a folder is there shows at once.
    if (!isHubId(reference.id) || this.catalog.hasId(reference.id)) {
      const { version } = await abortable(this.catalog.resolve(reference), signal);
      if (version.failure) throw version.failure;
      if (version.slot !== undefined && !version.parked) return true;
    }
    void this.background
      .run(name, async () => this.withContent(reference, NEVER, async ({ version }) => this.residence.toDevice(version)))
      .catch((error: unknown) => this.remember(name, error));
    return false;
  }

  private remember(name: string, error: unknown): void {
    if (!(error instanceof Failure)) return;
    this.misses.set(name, error);
    const [oldest] = this.misses.keys();
    if (this.misses.size > MAX_MISSES && oldest !== undefined) this.misses.delete(oldest);
  }

  /** Runs `work` with what a reference stands for, and again where the files changed under its hands. */
  private async withContent<T>(
    reference: AdapterReference,
    signal: AbortSignal,
    work: (resolved: Resolved) => Promise<T>,
  ): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const resolved = await abortable(this.catalog.resolve(reference), signal);
      const { version } = resolved;
      if (version.failure) throw version.failure;
      this.residence.retain(version);
      try {
        return await abortable(work(resolved), signal);
      } catch (error) {
        if (!(error instanceof ContentChanged)) throw error;
        if (attempt === READ_ATTEMPTS) throw changing(reference);
      } finally {
        this.residence.release(version);
      }
    }
  }

  private described(version: AdapterVersion): Adapter {
    const { folder, card } = version;
    return describeAdapter(this.worker.name, { folder, card, version });
  }

  private announce(key: string): void {
    for (const listener of this.listeners) listener(key);
  }
}

function changing(reference: AdapterReference): Failure {
  const name = describeReference(reference);
  return new Failure("ADAPTER_SOURCE_UNAVAILABLE", `the files of adapter ${name} keep changing while they are read`, {
    metadata: { adapter: name },
    retryAfterMillis: RETRY_MILLIS,
  });
}
