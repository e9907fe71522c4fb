import { Failure } from "../failure.js";

const RETRY_MILLIS = 1000;

/** What can end a call before its time: its client, its deadline, or a first token that comes too late. */
export class CallScope {
  private readonly controller = new AbortController();
  private readonly call: AbortSignal;
  private readonly abort = (): void => this.controller.abort(this.call.reason);
  private timer: NodeJS.Timeout | undefined;

  /** `call` is aborted when the client goes or the deadline passes. */
  constructor(call: AbortSignal) {
    this.call = call;
    if (call.aborted) this.abort();
    else call.addEventListener("abort", this.abort, { once: true });
  }

  /** Aborted with the reason why the call ends. */
  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** Ends the call unless `started` is called within so many milliseconds. */
  expectStart(millis: number): void {
    const message = `the first token cannot come within the ${millis} ms of qos.ttft_target_millis`;
    this.timer = setTimeout(() => {
      this.controller.abort(new Failure("QUEUE_FULL", message, { retryAfterMillis: RETRY_MILLIS }));
    }, millis);
  }

  /** The first step has begun. */
  started(): void {
    clearTimeout(this.timer);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.timer);
    this.call.removeEventListener("abort", this.abort);
  }
}
