/** How many requests may be sent again. */

/** Bounds of a budget. */
export interface RetryLimits {
  /** Most that may be sent again at once, such as all that wait at a worker that is lost. Default: 1000. */
  readonly burst?: number;
  /** What each request that ends well adds to that. Default: 0.2. */
  readonly share?: number;
}

/**
 * Repetitions as a share of the requests that succeed, as gRPC throttles its own (gRFC A6). While few fail, each of them
 * is sent again; where all fail, repetitions would only multiply the load of servers that cannot bear it, and end.
 */
export class RetryBudget {
  readonly #burst: number;
  readonly #share: number;
  #left: number;

  constructor({ burst = 1000, share = 0.2 }: RetryLimits = {}) {
    this.#burst = burst;
    this.#share = share;
    this.#left = burst;
  }

  /** A request has ended well. */
  deposit(): void {
    this.#left = Math.min(this.#burst, this.#left + this.#share);
  }

  /** Whether a request may be sent again; it is counted then. */
  withdraw(): boolean {
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
