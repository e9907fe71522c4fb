import type { LoadSample } from "@polygraft/api";

/** A request's share of a tally, until it is given back. */
export interface Dispatched {
  readonly tokens: number;
  readonly period: number;
}

/**
 * How busy a worker is: its last sample, and what this router has sent there since. Without the second part all
 * requests that come between two samples would see the same idle worker and pile up on it.
 */
export class LoadTally {
  #sample: LoadSample | undefined;
  #sinceSample = 0;
  #period = 0;
  #requests = 0;
  readonly #changed: () => void;

  /** `changed` is called whenever the tokens may be others. */
  constructor(changed: () => void = () => {}) {
    this.#changed = changed;
  }

  /** The last sample, as the worker sent it. */
  get sample(): LoadSample | undefined {
    return this.#sample;
  }

  /** Requests that this router has sent there and that are not over. */
  get requests(): number {
    return this.#requests;
  }

  /** Tokens that requests there can still need, as far as is known. */
  get inFlightTokens(): number {
    return (this.#sample?.inFlightTokens ?? 0) + this.#sinceSample;
  }

  /** Takes a sample. One that knows its tokens knows what was sent there before, too. */
  take(sample: LoadSample): void {
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
