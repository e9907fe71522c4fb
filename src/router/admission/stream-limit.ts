import { Status } from "nice-grpc";
import type { Failure } from "../failure.js";

/** A bound on streams at once, all clients together. */
export class StreamLimit {
  readonly #limit: number;
  #running = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Streams that run now. */
  get running(): number {
    return this.#running;
  }

  /** Takes a place, or says why there is none. Each place taken is to be given back once. */
  enter(): Failure | undefined {
    if (this.#running >= this.#limit) {
      return {
        status: Status.RESOURCE_EXHAUSTED,
        reason: "QUEUE_FULL",
        message: `the router serves at most ${this.#limit} streams at once; try again`,
        retryAfterMillis: 500,
      };
    }
    this.#running += 1;
    return undefined;
  }

  /** Gives a place back. */
  leave(): void {
    this.#running -= 1;
  }
}
