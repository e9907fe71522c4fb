import { EngineError } from "../engine/engine.js";
import { Failure, type Reason } from "../failure.js";
import { describeReference } from "./reference.js";
import type { AdapterFolder } from "./source.js";

/** What an engine's refusal of an adapter means to a caller. */
export function asAdapterFailure(folder: AdapterFolder, error: unknown): Failure {
  if (error instanceof Failure) return error;
  const name = describeReference(folder);
  const field = error instanceof EngineError ? error.field : "";
  return new Failure(reasonOf(error), `adapter ${name}: ${error instanceof Error ? error.message : String(error)}`, {
    metadata: { adapter: name, ...culprit(field) },
    cause: error,
  });
}

/** Whether the content is at fault, so that another try with the same content is pointless. */
export function isPermanent(failure: Failure): boolean {
  return failure.reason === "ADAPTER_INCOMPATIBLE" || failure.reason === "ADAPTER_CORRUPT";
}

/** Tensors have dotted names, keys of a config have none. */
function culprit(field: string): Record<string, string> {
  if (field === "") return {};
  return field.includes(".") ? { tensor: field } : { key: field };
}

function reasonOf(error: unknown): Reason {
  if (!(error instanceof EngineError)) return "INTERNAL";
  switch (error.code) {
    case "NOT_FOUND":
      return "ADAPTER_NOT_FOUND";
    case "INVALID_ARGUMENT":
    case "FAILED_PRECONDITION":
    case "UNIMPLEMENTED":
      return "ADAPTER_INCOMPATIBLE";
    case "DATA_LOSS":
      return "ADAPTER_CORRUPT";
    case "RESOURCE_EXHAUSTED":
      return "ADAPTER_MEMORY_FULL";
    default:
      return "INTERNAL";
  }
}
