/** Weight of a new observation. About twenty requests are remembered. */
const weight = 0.1;

/** How long requests take for each token that they may need: an average in which old ones fade. */
export class ServiceRate {
  #millisPerToken: number | undefined;

  /** A request that may have needed so many tokens took so long. */
  observe(millis: number, tokens: number): void {
    const seen = millis / Math.max(1, tokens);
    this.#millisPerToken = this.#millisPerToken === undefined ? seen : this.#millisPerToken + weight * (seen - this.#millisPerToken);
  }

  /** How long requests of so many tokens may take, one after another. 0 until one was seen. */
  millis(tokens: number): number {
    return (this.#millisPerToken ?? 0) * tokens;
  }
}
