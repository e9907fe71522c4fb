/** How busy a worker is, from what it says and from what one has sent there oneself. */

/** What a worker says of its load. Absent is not 0: it does not know. */
export interface LoadReport {
  readonly runningRequests?: number | undefined;
  readonly waitingRequests?: number | undefined;
  /** Tokens that running and waiting requests can still need. */
  readonly inFlightTokens?: number | undefined;
  /** Rank units that an unpinned, unreferenced slot could give. */
  readonly freeRankUnits?: number | undefined;
}

/** A request's share of a tally, until it is given back. */
export interface Dispatched {
  readonly tokens: number;
  readonly period: number;
}

/**
 * How busy a worker is: its last sample, and what has been sent there since by whoever keeps the tally. Without the
 * second part all requests that come between two samples would see the same idle worker and pile up on it.
 */
export class LoadTally<Sample extends LoadReport = LoadReport> {
  #sample: Sample | undefined;
  #sinceSample = 0;
  #period = 0;
  #requests = 0;
  readonly #changed: () => void;

  /** `changed` is called whenever the tokens may be others. */
  constructor(changed: () => void = () => {}) {
    this.#changed = changed;
  }

  /** The last sample, as the worker sent it. */
  get sample(): Sample | undefined {
    return this.#sample;
  }

  /** Requests that were sent there from here and are not over. */
  get requests(): number {
    return this.#requests;
  }

  /** Tokens that requests there can still need, as far as is known. */
  get inFlightTokens(): number {
    return (this.#sample?.inFlightTokens ?? 0) + this.#sinceSample;
  }

  /** A worker that does not say counts as having enough. */
  get freeRankUnits(): number {
    return this.#sample?.freeRankUnits ?? Number.POSITIVE_INFINITY;
  }

  /** Whether it has as many requests as it runs at once, whoever sent them. 0 at once: it never counts as full. */
  isFull(maxSequences: number): boolean {
    const { runningRequests = 0, waitingRequests = 0 } = this.#sample ?? {};
    return maxSequences > 0 && Math.max(this.#requests, runningRequests + waitingRequests) >= maxSequences;
  }

  /** About how many of the tokens are those of so many of its requests. 0 if it does not say how many it has. */
  tokensOf(requests: number): number {
    const { runningRequests, waitingRequests = 0 } = this.#sample ?? {};
    if (runningRequests === undefined) return 0;
    return (this.inFlightTokens * requests) / Math.max(requests, runningRequests + waitingRequests);
  }

  /** Takes a sample. One that knows its tokens knows what was sent there before, too. */
  take(sample: Sample): void {
    this.#sample = sample;
    if (sample.inFlightTokens !== undefined) {
      this.#sinceSample = 0;
      this.#period += 1;
    }
    this.#changed();
  }

  /** A request of about that many tokens is on its way there. */
  dispatch(tokens: number): Dispatched {
    this.#requests += 1;
    this.#sinceSample += tokens;
    this.#changed();
    return { tokens, period: this.#period };
  }

  /** That request is over. If a sample came in between, the next one will say so. */
  release(dispatched: Dispatched): void {
    this.#requests -= 1;
    if (dispatched.period !== this.#period) return;
    this.#sinceSample -= dispatched.tokens;
    this.#changed();
  }
}
