import { PolygraftError } from "./error.js";
import { onAbort } from "./on-abort.js";

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
  readonly #stopListening: () => void;

  constructor(options: CallScopeOptions) {
    this.#options = options;
    this.deadline = options.timeoutMs > 0 ? Date.now() + options.timeoutMs : Infinity;
    options.running.add(this);
    const { signal } = options;
    const abort = (): void => this.cancel(cancelled("the caller's signal was aborted", signal?.reason));
    this.#stopListening = signal === undefined ? () => {} : onAbort(signal, abort);
    if (signal?.aborted === true) abort();
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
    this.#stopListening();
    this.#options.running.delete(this);
  }
}

/** A call that somebody ended on purpose. */
export function cancelled(message: string, cause?: unknown): PolygraftError {
  return new PolygraftError(message, { code: "CANCELLED", status: "CANCELLED", cause });
}
