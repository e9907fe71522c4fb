import { Status } from "nice-grpc";
import type { Failure } from "../failure.js";

/** A bound on requests that are being read, of which nobody can say yet where they are to go: all clients together. */
export class ReadingLimit {
  readonly #limit: number;
  #reading = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Requests that are being read now. */
  get reading(): number {
    return this.#reading;
  }

  /** Begins to read, or says why not. To be followed by one `leave`. */
  enter(): Failure | undefined {
    if (this.#reading >= this.#limit) {
      return {
        status: Status.RESOURCE_EXHAUSTED,
        reason: "QUEUE_FULL",
        message: `the router reads at most ${this.#limit} requests at once; try again`,
        retryAfterMillis: 500,
      };
    }
    this.#reading += 1;
    return undefined;
  }

  /** That request has been read, or will not be. */
  leave(): void {
    this.#reading -= 1;
  }
}
