import { once } from "node:events";

/** Standard output whose reader may leave, as `head` does. */
export class Stdout {
  /** Aborted when nobody reads any more. */
  readonly closed: AbortSignal;
  readonly #controller = new AbortController();

  constructor() {
    this.closed = this.#controller.signal;
    process.stdout.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
      this.#controller.abort();
    });
  }

  /** Writes, and waits while the reader is behind. */
  async write(text: string): Promise<void> {
    if (this.closed.aborted || process.stdout.write(text)) return;
    await once(process.stdout, "drain", { signal: this.closed }).catch(() => {});
  }
}
