import type { CallScope } from "./call-scope.js";
import { PolygraftError } from "./error.js";
import type { GenerationEvent } from "./events.js";
import type { GenerateOptions } from "./options.js";

/** Cancels a call whose first or next output takes too long. It counts only while the caller waits for an event. */
export class Watchdog {
  readonly #scope: CallScope;
  readonly #options: GenerateOptions;
  readonly #start = performance.now();
  #sawOutput = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(scope: CallScope, options: GenerateOptions) {
    this.#scope = scope;
    this.#options = options;
  }

  /** Whether there was output, so that nothing may be retried. */
  get sawOutput(): boolean {
    return this.#sawOutput;
  }

  /** Waits for the next event. */
  async next(events: AsyncIterator<GenerationEvent, void>): Promise<IteratorResult<GenerationEvent, void>> {
    const result = await this.during(events.next());
    if (result.done !== true && result.value.type !== "accepted") this.#sawOutput = true;
    return result;
  }

  /** Waits for something that has to come before the next event. */
  async during<T>(work: Promise<T>): Promise<T> {
    this.#arm();
    try {
      return await work;
    } finally {
      clearTimeout(this.#timer);
    }
  }

  #arm(): void {
    const { firstTokenTimeoutMs = 0, interTokenTimeoutMs = 0 } = this.#options;
    const first = !this.#sawOutput;
    const limit = first ? firstTokenTimeoutMs : interTokenTimeoutMs;
    if (limit <= 0) return;
    const left = first ? Math.max(0, limit - (performance.now() - this.#start)) : limit;
    const [code, what] = first
      ? (["FIRST_TOKEN_TIMEOUT", "no output"] as const)
      : (["INTER_TOKEN_TIMEOUT", "no further output"] as const);
    this.#timer = setTimeout(() => {
      this.#scope.cancel(new PolygraftError(`${what} within ${limit} ms`, { code, status: "DEADLINE_EXCEEDED", retryable: true }));
    }, left);
  }
}
