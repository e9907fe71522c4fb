import { Tier } from "@polygraft/api";
import type { Adapter } from "@polygraft/api";
import type { AdapterSize } from "@polygraft/placement";

/** What the fleet knows of one adapter name: who announced which revision of it. */
export class CatalogEntry {
  readonly id: string;
  /** Worker, then revision, then the worker's own description. */
  readonly #announced = new Map<string, Map<string, Adapter>>();
  #holders: ReadonlySet<string> | undefined;
  #resident: ReadonlySet<string> | undefined;
  #references: ReadonlyMap<string, number> | undefined;
  #size: AdapterSize | undefined;

  constructor(id: string) {
    this.id = id;
  }

  /** Names of the workers that know it, at whatever tier. The same set until that changes. */
  get holders(): ReadonlySet<string> {
    return (this.#holders ??= new Set(this.#announced.keys()));
  }

  /** Names of the workers that have some revision of it on the device. */
  get resident(): ReadonlySet<string> {
    return (this.#resident ??= new Set(this.#workersWhere((adapter) => tierOf(adapter) === Tier.DEVICE)));
  }

  /** Requests that use some revision of it, by worker; workers without any are left out. */
  get references(): ReadonlyMap<string, number> {
    return (this.#references ??= this.#countReferences());
  }

  /** The largest announced. */
  get size(): AdapterSize {
    return (this.#size ??= this.#largest());
  }

  /** Every worker's description of every revision. */
  *announcements(): Iterable<readonly [worker: string, adapter: Adapter]> {
    for (const [worker, revisions] of this.#announced) {
      for (const adapter of revisions.values()) yield [worker, adapter];
    }
  }

  announce(worker: string, adapter: Adapter): void {
    let revisions = this.#announced.get(worker);
    if (revisions === undefined) {
      revisions = new Map();
      this.#announced.set(worker, revisions);
      this.#holders = undefined;
    }
    revisions.set(adapter.identity?.revision ?? "", adapter);
    this.#forgetCounts();
  }

  withdraw(worker: string, revision: string): void {
    const revisions = this.#announced.get(worker);
    if (revisions === undefined || !revisions.delete(revision)) return;
    this.#forgetCounts();
    if (revisions.size > 0) return;
    this.#announced.delete(worker);
    this.#holders = undefined;
  }

  #forgetCounts(): void {
    this.#resident = undefined;
    this.#references = undefined;
    this.#size = undefined;
  }

  #largest(): AdapterSize {
    const size = { rank: 0, bytes: 0 };
    for (const [, { rank, bytes }] of this.announcements()) {
      size.rank = Math.max(size.rank, rank);
      size.bytes = Math.max(size.bytes, Number(bytes));
    }
    return size;
  }

  #countReferences(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const [worker, adapter] of this.announcements()) {
      const references = adapter.residency[0]?.references ?? 0;
      if (references > 0) counts.set(worker, (counts.get(worker) ?? 0) + references);
    }
    return counts;
  }

  *#workersWhere(test: (adapter: Adapter) => boolean): Iterable<string> {
    for (const [worker, adapter] of this.announcements()) if (test(adapter)) yield worker;
  }
}

/** Where a worker says that it has the adapter. */
export function tierOf(adapter: Adapter): Tier {
  return adapter.residency[0]?.tier ?? Tier.UNSPECIFIED;
}
