/** In-flight tokens of all workers of one base model that take requests: a sum that is kept, not made anew. */
export interface TokenTotal {
  tokens: number;
}

/** One worker's part of a total. Follows its load, and is nothing while it takes no requests. */
export class TokenShare {
  readonly #total: TokenTotal;
  #counted = 0;

  constructor(total: TokenTotal) {
    this.#total = total;
  }

  /** Puts `tokens` in the place of what the worker counted for before. */
  set(tokens: number): void {
    this.#total.tokens += tokens - this.#counted;
    this.#counted = tokens;
  }
}

/** The totals of a fleet, by model; one is kept for as long as a worker of the model is there. */
export class TokenTotals {
  readonly #byModel = new Map<string, { readonly total: TokenTotal; members: number }>();

  /** Models with a worker. */
  get size(): number {
    return this.#byModel.size;
  }

  /** A worker of that model comes. */
  enter(model: string): TokenTotal {
    let entry = this.#byModel.get(model);
    if (entry === undefined) this.#byModel.set(model, (entry = { total: { tokens: 0 }, members: 0 }));
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
