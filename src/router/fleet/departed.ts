import type { Holdings } from "./holdings.js";
import type { FleetMember } from "./member.js";

/** Most workers, and most adapters of all of them together, that are remembered. */
const maxWorkers = 4096;
const maxAdapters = 1_000_000;

/** For how long, in milliseconds since they were last heard of. */
export const rememberedMillis = 300_000;

/**
 * What workers held whose streams have ended. One that comes back, the same process of it, need only tell what has
 * changed: after a cut or a pause of the network, a fleet's snapshots do not all come at once.
 */
export class Departed {
  /** In the order of their leaving. */
  readonly #members = new Map<string, FleetMember>();
  #adapters = 0;

  get size(): number {
    return this.#members.size;
  }

  /** Keeps what a worker held, if it counts its changes; at the expense of those that left first. */
  remember(member: FleetMember): void {
    this.#drop(member.name);
    if (member.holdings.number === undefined) return;
    this.#members.set(member.name, member);
    this.#adapters += member.holdings.size;
    for (const name of this.#members.keys()) {
      if (this.#members.size <= maxWorkers && this.#adapters <= maxAdapters) return;
      this.#drop(name);
    }
  }

  /** What this process of the worker held, once. */
  recall(name: string, epoch: string): Holdings | undefined {
    const member = this.#members.get(name);
    this.#drop(name);
    return member?.hello.epoch === epoch ? member.holdings : undefined;
  }

  /** Forgets those that stay away. */
  sweep(now: number): void {
    for (const [name, { heardAt }] of this.#members) if (now - heardAt > rememberedMillis) this.#drop(name);
  }

  #drop(name: string): void {
    const member = this.#members.get(name);
    if (member === undefined) return;
    this.#members.delete(name);
    this.#adapters -= member.holdings.size;
  }
}
