import { PolygraftError } from "./error.js";

/** What can end a call early. */
export interface CallScopeOptions {
  readonly signal?: AbortSignal | undefined;
  /** 0: no deadline. */
  readonly timeoutMs: number;
  /** Where the client keeps its running calls, so that closing it ends them. */
  readonly running: Set<CallScope>;
}

/** The life of one call: its deadline, and one signal for all that can cancel it. Its reason is a `PolygraftError`. */
export class CallScope {
  /** Milliseconds since the epoch; Infinity: none. */
  readonly deadline: number;
  readonly #controller = new AbortController();
  readonly #options: CallScopeOptions;
  readonly #onAbort = (): void => this.cancel(cancelled("the caller's signal was aborted", this.#options.signal?.reason));

  constructor(options: CallScopeOptions) {
    this.#options = options;
    this.deadline = options.timeoutMs > 0 ? Date.now() + options.timeoutMs : Infinity;
    options.running.add(this);
    if (options.signal?.aborted === true) this.#onAbort();
    else options.signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Ends the call. The first reason stays. */
  cancel(reason: PolygraftError): void {
    this.#controller.abort(reason);
  }

  /** Forgets the call. To be called once, however it ended. */
  end(): void {
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    this.#options.running.delete(this);
  }
}

/** A call that somebody ended on purpose. */
export function cancelled(message: string, cause?: unknown): PolygraftError {
  return new PolygraftError(message, { code: "CANCELLED", status: "CANCELLED", cause });
}
