import type { Timers } from "../timers.js";

/** How long nobody must have had to wait, in milliseconds. Longer than a burst, so that clients do not come and go with each. */
const calmMillis = 1000;

/** Whether requests have had to wait in the router, or were turned away, a moment ago. */
export class Crowding {
  readonly #timers: Timers;
  readonly #listeners = new Set<() => void>();
  #crowded = false;
  #lastAt = 0;
  #cancel = () => {};

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  get crowded(): boolean {
    return this.#crowded;
  }

  /** Somebody did not get a place at once. */
  note(): void {
    this.#lastAt = this.#timers.now();
    if (this.#crowded) return;
    this.#set(true);
    this.#wait(calmMillis);
  }

  /** Calls back at each change, until the result is called. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#cancel();
  }

  #wait(millis: number): void {
    this.#cancel = this.#timers.after(millis, () => {
      const left = this.#lastAt + calmMillis - this.#timers.now();
      if (left > 0) this.#wait(left);
      else this.#set(false);
    });
  }

  #set(crowded: boolean): void {
    this.#crowded = crowded;
    for (const listener of this.#listeners) listener();
  }
}
