import { EngineError, type EngineErrorCode } from "./engine.js";

/** Names of pg_code by number. */
const CODES = [
  undefined,
  "INVALID_ARGUMENT",
  "NOT_FOUND",
  "FAILED_PRECONDITION",
  "RESOURCE_EXHAUSTED",
  "UNIMPLEMENTED",
  "DATA_LOSS",
  "CANCELLED",
  "INTERNAL",
] as const satisfies readonly (EngineErrorCode | undefined)[];

/** The addon's errors carry `code` and `field`; any other error is a bug and passes as it is. */
export function toEngineError(error: unknown): unknown {
  if (!(error instanceof Error) || !("code" in error) || !("field" in error)) return error;
  const code = CODES.find((name) => name !== undefined && name === error.code);
  return code === undefined ? error : new EngineError(code, error.message, String(error.field));
}

/** Why a running sequence failed, from the code in its last event. */
export function failureOf(value: number): EngineError {
  const code = CODES[value] ?? "INTERNAL";
  return new EngineError(
    code,
    code === "DATA_LOSS"
      ? "the logits are not finite: the weights of the base or of the adapter cannot be used"
      : `the engine could not compute this sequence (${code})`,
  );
}
