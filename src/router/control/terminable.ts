import type { ServerMiddleware } from "nice-grpc";

/** What the middleware adds to a call's context. */
export interface Terminable {
  /** Declares a call endless: it is aborted when the server stops, instead of being waited for. */
  abortOnTerminate(): void;
}

/** Lets watches and the like, which never end by themselves, end when `stopping` aborts. */
export function terminable(stopping: AbortSignal): ServerMiddleware<Terminable> {
  return async function* terminate(call, context) {
    const ending = new AbortController();
    const abort = () => ending.abort();
    if (context.signal.aborted) abort();
    context.signal.addEventListener("abort", abort, { once: true });
    const abortOnTerminate = () => {
      if (stopping.aborted) abort();
      stopping.addEventListener("abort", abort, { once: true });
    };
    try {
      return yield* call.next(call.request, { ...context, signal: ending.signal, abortOnTerminate });
    } finally {
      context.signal.removeEventListener("abort", abort);
      stopping.removeEventListener("abort", abort);
    }
  };
}
