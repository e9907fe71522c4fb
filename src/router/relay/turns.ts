/** How long new work may hold up what is under way, in milliseconds. */
const sliceMillis = 0.5;

/**
 * Spreads work that comes in bursts over turns of the event loop. Responses of a batch tend to end in one step, and as many
 * requests then come at once: begun one after another, they would hold up the tokens of all streams that run.
 */
export class Turns {
  readonly #run = () => this.#work();
  /** What waits, first come first; those before `#next` are done. */
  #waiting: (() => void)[] = [];
  #next = 0;

  /** Runs `work` in this turn of the event loop or in a later one, after all that was added before. It must not throw. */
  add(work: () => void): void {
    this.#waiting.push(work);
    if (this.#waiting.length === 1) setImmediate(this.#run);
  }

  #work(): void {
    const end = performance.now() + sliceMillis;
    while (this.#next < this.#waiting.length) {
      this.#waiting[this.#next++]!();
      if (performance.now() >= end) break;
    }
    if (this.#next < this.#waiting.length) return void setImmediate(this.#run);
    this.#waiting = [];
    this.#next = 0;
  }
}
