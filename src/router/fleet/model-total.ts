/** What the listed workers of one base model have together: sums that are kept, not made anew. */
export interface ModelTotal {
  /** In-flight tokens of those that take requests. */
  tokens: number;
  /** Sequences that they run at once. */
  sequences: number;
  /** Those that do not say how many they run. */
  untold: number;
}

/** Of no workers. */
export function emptyTotal(): ModelTotal {
  return { tokens: 0, sequences: 0, untold: 0 };
}

/** One worker's part of a total: nothing while it is not listed. */
export class ShareOfTotal {
  readonly #total: ModelTotal;
  /** 0: it does not say. */
  readonly #sequences: number;
  #tokens = 0;
  #listed = false;

  constructor(total: ModelTotal, sequences: number) {
    this.#total = total;
    this.#sequences = sequences;
  }

  /** Puts this in the place of what the worker counted for before. `tokens`: none while it takes no requests. */
  set(listed: boolean, tokens: number): void {
    const counted = listed ? tokens : 0;
    this.#total.tokens += counted - this.#tokens;
    this.#tokens = counted;
    if (listed === this.#listed) return;
    this.#listed = listed;
    this.#total.sequences += listed ? this.#sequences : -this.#sequences;
    if (this.#sequences === 0) this.#total.untold += listed ? 1 : -1;
  }
}

/** The totals of a fleet, by model; one is kept for as long as a worker of the model is there. */
export class ModelTotals {
  readonly #byModel = new Map<string, { readonly total: ModelTotal; members: number }>();

  /** Undefined: no worker of that model is there. */
  get(model: string): ModelTotal | undefined {
    return this.#byModel.get(model)?.total;
  }

  /** A worker of that model comes. */
  enter(model: string): ModelTotal {
    let entry = this.#byModel.get(model);
    if (entry === undefined) this.#byModel.set(model, (entry = { total: emptyTotal(), members: 0 }));
    entry.members += 1;
    return entry.total;
  }

  /** A worker of that model goes; it must count for nothing by now. */
  leave(model: string): void {
    const entry = this.#byModel.get(model);
    if (entry === undefined) return;
    entry.members -= 1;
    if (entry.members === 0) this.#byModel.delete(model);
  }
}
