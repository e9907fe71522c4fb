/** Weights of a new observation. About twenty requests are remembered; deviations as in TCP's timer (Jacobson 1988). */
const meanWeight = 0.1;
const deviationWeight = 0.25;

/** Mean deviations above the mean within which almost all requests end. */
const deviations = 2;

/** How long requests take for each token that they may need: averages in which old ones fade. */
export class ServiceRate {
  #millisPerToken: number | undefined;
  #deviation = 0;

  /** A request that may have needed so many tokens took so long. */
  observe(millis: number, tokens: number): void {
    const seen = millis / Math.max(1, tokens);
    const surprise = seen - (this.#millisPerToken ?? seen);
    this.#deviation += deviationWeight * (Math.abs(surprise) - this.#deviation);
    this.#millisPerToken = (this.#millisPerToken ?? seen) + meanWeight * surprise;
  }

  /** How long requests of so many tokens take together, one after another. 0 until one was seen. */
  millis(tokens: number): number {
    return (this.#millisPerToken ?? 0) * tokens;
  }

  /** How long one request of so many tokens takes at most, as a rule. */
  atMost(tokens: number): number {
    return this.millis(tokens) + deviations * this.#deviation * tokens;
  }
}
