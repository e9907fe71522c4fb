/**
 * Messages on their way to one receiver, in order. Bounded: the caller decides what to do when it is full. Iterated
 * once.
 */
export class Outbox<T> implements AsyncIterable<T> {
  readonly #limit: number;
  readonly #messages: T[] = [];
  #wake: (() => void) | undefined;
  #closed = false;
  #error: Error | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Adds a message. False: it is full or closed. */
  push(message: T): boolean {
    if (this.#closed || this.#messages.length >= this.#limit) return false;
    this.#messages.push(message);
    this.#wake?.();
    return true;
  }

  /** Ends the iteration after the messages that are in; with an error, if one is given. The first call decides. */
  close(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#error = error;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    for (;;) {
      const message = this.#messages.shift();
      if (message !== undefined) yield message;
      else if (this.#error !== undefined) throw this.#error;
      else if (this.#closed) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}
