import type { ServerMiddleware } from "nice-grpc";
import { readCaller } from "../access/caller-headers.js";
import { withdrawn } from "../admission/api-keys.js";
import type { ApiKeys } from "../admission/api-keys.js";
import { serverError } from "../failure.js";

/** Ends calls of keys that are withdrawn: a stream that was let in once would else go on, and be given tokens, for ever. */
export function whileWelcome(apiKeys: ApiKeys): ServerMiddleware {
  return async function* serveWhileWelcome(call, context) {
    const { tenant } = readCaller(context.metadata);
    // Of a service that needs no key.
    if (tenant === undefined) return yield* call.next(call.request, context);
    const ending = new AbortController();
    const abort = () => ending.abort();
    if (context.signal.aborted) abort();
    context.signal.addEventListener("abort", abort, { once: true });
    let isWelcome = true;
    const stop = apiKeys.onChange(() => {
      if (apiKeys.has(tenant)) return;
      isWelcome = false;
      abort();
    });
    try {
      const response = yield* call.next(call.request, { ...context, signal: ending.signal });
      if (!isWelcome) throw serverError(withdrawn);
      return response;
    } catch (error) {
      throw isWelcome ? error : serverError(withdrawn);
    } finally {
      stop();
      context.signal.removeEventListener("abort", abort);
    }
  };
}
