import type { Adapter, ResidencyUpdate } from "@polygraft/api";

/** What an update changed. */
export interface HoldingsChange {
  readonly announced: readonly Adapter[];
  readonly withdrawn: readonly Adapter[];
}

/** The adapters that one worker knows, by id and revision. */
export class Holdings {
  #known = new Map<string, Adapter>();
  #staged: Map<string, Adapter> | undefined;
  #complete = false;
  #number: bigint | undefined;
  #resuming = false;

  /** Whether a snapshot has come in whole. Before that nothing is known of the worker. */
  get complete(): boolean {
    return this.#complete;
  }

  /** Adapters known, at whatever tier. */
  get size(): number {
    return this.#known.size;
  }

  /** Adapters announced but not in force yet, because their snapshot is not complete. */
  get stagedSize(): number {
    return this.#staged?.size ?? 0;
  }

  /** All changes up to this number are in. Undefined: the worker does not count them. */
  get number(): bigint | undefined {
    return this.#number;
  }

  /**
   * Begins with what was known at the end of an earlier stream, which says no more. Incomplete until the worker has told
   * all that has changed since, or has sent a snapshot.
   */
  resume(earlier: Holdings): void {
    this.#known = earlier.#known;
    this.#number = earlier.#number;
    this.#resuming = true;
  }

  adapters(): Iterable<Adapter> {
    return this.#known.values();
  }

  /** Applies an update. The parts of a snapshot take effect together, with the last one. */
  apply(update: ResidencyUpdate): HoldingsChange {
    if (!update.snapshot && this.#staged === undefined) return this.#resuming ? this.#applyMissed(update) : this.#applyDelta(update);
    if (update.snapshot) this.#staged ??= new Map();
    const staged = this.#staged ?? new Map<string, Adapter>();
    for (const adapter of update.adapters) staged.set(holdingKey(adapter), adapter);
    if (!update.complete) return { announced: [], withdrawn: [] };
    // Before that nobody was told of anything.
    const before = this.#complete ? [...this.#known] : [];
    const withdrawn = before.filter(([key]) => !staged.has(key)).map(([, adapter]) => adapter);
    this.#known = staged;
    this.#staged = undefined;
    this.#complete = true;
    this.#resuming = false;
    this.#number = update.number;
    return { announced: [...staged.values()], withdrawn };
  }

  /** Nobody was told of an incomplete worker's adapters, so with the last part all of them are news. */
  #applyMissed(update: ResidencyUpdate): HoldingsChange {
    this.#applyDelta(update);
    if (!update.complete) return { announced: [], withdrawn: [] };
    this.#complete = true;
    this.#resuming = false;
    return { announced: [...this.#known.values()], withdrawn: [] };
  }

  #applyDelta(update: ResidencyUpdate): HoldingsChange {
    const removed = new Set(update.removedIds);
    const withdrawn: Adapter[] = [];
    if (removed.size > 0) {
      for (const [key, adapter] of this.#known) {
        if (!removed.has(adapter.identity?.id ?? "")) continue;
        this.#known.delete(key);
        withdrawn.push(adapter);
      }
    }
    for (const adapter of update.adapters) this.#known.set(holdingKey(adapter), adapter);
    this.#number = update.number;
    return { announced: update.adapters, withdrawn };
  }
}

/** A worker knows one adapter of an id and revision; another digest takes its place. */
function holdingKey(adapter: Adapter): string {
  return `${adapter.identity?.id ?? ""}\n${adapter.identity?.revision ?? ""}`;
}
