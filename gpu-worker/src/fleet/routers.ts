import { performance } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";
import type { Log } from "../log.js";
import { Signal } from "../signal.js";
import { hostOf, isName, routersBehind, systemResolve, type Resolve } from "./router-addresses.js";

/** A worker's bond to one router. */
export interface Link {
  /** Whether the router has it in the fleet now. */
  readonly joined: boolean;
  handOver(reason: string): Promise<void>;
  leave(reason: string): void;
  close(): Promise<void>;
}

/** Which routers to join, and how. */
export interface RoutersOptions {
  /** "host:port" or "https://host:port" each. A name stands for all routers that it resolves to. */
  readonly targets: readonly string[];
  /**
   * Makes a link to such an address. `host` is what its certificate must be for; `failed` is to be called when it cannot
   * join, or has lost its router.
   */
  readonly link: (address: string, host: string, failed: () => void) => Link;
  readonly log: Log;
  /** Default: the system's. */
  readonly resolve?: Resolve | undefined;
  /** Between two looks at a name while all is well, and at least, in milliseconds. Default: 15,000 and 1000. */
  readonly intervalMillis?: number;
  readonly leastMillis?: number;
  /** How long an address may be missing from its name until its router, if it is not joined, is given up. Default: 60,000. */
  readonly graceMillis?: number;
}

interface Linked {
  readonly link: Link;
  /** The targets that it stands for, and since when each of them does not name it any more, if so. */
  readonly targets: Map<string, number | undefined>;
}

/**
 * The routers that a worker has joined. Names are resolved again from time to time, and when a router is lost: routers
 * that have come are joined, and those that have gone are forgotten. A name that does not resolve changes nothing.
 */
export class Routers {
  private readonly options: RoutersOptions;
  private readonly links = new Map<string, Linked>();
  private readonly stopped = new AbortController();
  private readonly wake = new Signal();
  private lost = false;

  constructor(options: RoutersOptions) {
    this.options = options;
    for (const target of options.targets) {
      if (isName(target)) void this.follow(target);
      else this.join(target, target);
    }
  }

  /** Addresses of the routers that it has joined or tries to join. */
  get addresses(): string[] {
    return [...this.links.keys()];
  }

  /** Has the worker's adapters loaded elsewhere. Resolves when all routers have seen to it. */
  async handOver(reason: string): Promise<void> {
    await Promise.all(this.all.map(async (link) => link.handOver(reason)));
  }

  /** Tells all routers that the worker takes no new requests, and looks for no others. */
  leave(reason: string): void {
    this.stop();
    for (const link of this.all) link.leave(reason);
  }

  /** Ends all streams. Resolves when they have ended. */
  async close(): Promise<void> {
    this.stop();
    await Promise.all(this.all.map(async (link) => link.close()));
  }

  private get all(): Link[] {
    return [...this.links.values()].map(({ link }) => link);
  }

  private stop(): void {
    this.stopped.abort();
    this.wake.notify();
  }

  private async follow(target: string): Promise<void> {
    const { intervalMillis = 15_000, leastMillis = 1000, log, resolve = systemResolve } = this.options;
    const { signal } = this.stopped;
    let failure = "";
    while (!signal.aborted) {
      this.lost = false;
      try {
        const addresses = await resolve(hostOf(target));
        if (addresses.length > 0 && !signal.aborted) await this.update(target, addresses);
        failure = "";
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        if (reason !== failure) log.warn("a router's name does not resolve", { router: target, reason });
        failure = reason;
      }
      await delay(leastMillis, undefined, { signal }).catch(() => {});
      if (!this.lost && failure === "" && !signal.aborted) await this.wake.wait(intervalMillis - leastMillis);
    }
  }

  /** The routers of a target are these now. */
  private async update(target: string, addresses: readonly string[]): Promise<void> {
    const { graceMillis = 60_000 } = this.options;
    const known = [...this.links].filter(([, { targets }]) => targets.has(target));
    const current = routersBehind(target, addresses, known.some(([address]) => address !== target));
    const now = performance.now();
    for (const [address, { link, targets }] of known) {
      const since = targets.get(target) ?? now;
      targets.set(target, since);
      if (current.includes(address)) continue;
      // The name itself was joined. It is one of the addresses, and would be joined twice.
      const isOver = address === target || (now - since >= graceMillis && !link.joined);
      if (isOver) await this.part(address, target);
    }
    for (const address of current) this.join(address, target);
  }

  private join(address: string, target: string): void {
    if (this.stopped.signal.aborted) return;
    let linked = this.links.get(address);
    if (linked === undefined) {
      const failed = (): void => {
        this.lost = true;
        this.wake.notify();
      };
      linked = { link: this.options.link(address, hostOf(target), failed), targets: new Map() };
      this.links.set(address, linked);
    }
    linked.targets.set(target, undefined);
  }

  private async part(address: string, target: string): Promise<void> {
    const linked = this.links.get(address);
    linked?.targets.delete(target);
    if (linked === undefined || linked.targets.size > 0) return;
    this.links.delete(address);
    this.options.log.info("a router is gone from its name", { router: address, name: target });
    await linked.link.close();
  }
}
