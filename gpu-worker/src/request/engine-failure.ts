import { EngineError } from "../engine/engine.js";
import { Failure, invalidFields } from "../failure.js";

const RETRY_MILLIS = 1000;

/** What an engine's refusal or abandonment of a sequence means to the caller. `adapter` names the one in use. */
export function asSequenceFailure(error: unknown, adapter: string | undefined): Failure {
  if (error instanceof Failure) return error;
  const options = { cause: error };
  if (!(error instanceof EngineError)) return new Failure("INTERNAL", "a bug in the worker; its log says more", options);
  switch (error.code) {
    case "INVALID_ARGUMENT":
      return invalidArgument(error);
    case "RESOURCE_EXHAUSTED":
      return new Failure("QUEUE_FULL", error.message, { ...options, retryAfterMillis: RETRY_MILLIS });
    case "UNIMPLEMENTED":
      return new Failure("UNSUPPORTED_FEATURE", error.message, { ...options, metadata: { field: error.field } });
    case "CANCELLED":
      return new Failure("DRAINING", "the worker is shutting down; another one will serve a retry", options);
    case "DATA_LOSS":
      if (adapter === undefined) return new Failure("INTERNAL", error.message, options);
      return new Failure("ADAPTER_CORRUPT", `adapter ${adapter}: ${error.message}`, { ...options, metadata: { adapter } });
    default:
      return new Failure("INTERNAL", error.message, options);
  }
}

function invalidArgument({ field, message }: EngineError): Failure {
  const violations = [{ field: field || "request", description: message }];
  return field === "prompt" ? new Failure("PROMPT_TOO_LONG", message, { violations }) : invalidFields(violations);
}
