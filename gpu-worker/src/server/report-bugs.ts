import { ServerError, type ServerMiddleware } from "nice-grpc";
import { Failure } from "../failure.js";
import type { Log } from "../log.js";

/** Turns what no handler should throw into INTERNAL: logged here with its stack, told the caller without it. */
export function reportBugs(log: Log): ServerMiddleware {
  return async function* report(call, context) {
    try {
      return yield* call.next(call.request, context);
    } catch (error) {
      const failure = asServerError(error, call.method.path);
      if (failure instanceof Failure && failure.reason === "INTERNAL") {
        const { cause = failure } = failure;
        log.error("bug", { path: call.method.path, stack: cause instanceof Error ? String(cause.stack) : String(cause) });
      }
      throw failure;
    }
  };
}

/** Errors meant for callers, and the end of a call by its caller, pass as they are. */
function asServerError(error: unknown, path: string): unknown {
  if (error instanceof ServerError || (error instanceof Error && error.name === "AbortError")) return error;
  return new Failure("INTERNAL", `${path} failed; the worker's log says why`, { cause: error });
}
