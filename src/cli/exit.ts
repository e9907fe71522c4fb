import { CommanderError } from "commander";
import { PolygraftError } from "@polygraft/client";

/** What a script can tell from the exit code of every command. */
export const ExitCode = {
  ok: 0,
  /** It failed; standard error says why. */
  failure: 1,
  /** The command line is wrong. */
  usage: 2,
  /** The server refused the request, and would again. */
  refused: 3,
  /** No server could take the request now; it may work later. */
  unavailable: 4,
  /** Ended by Ctrl-C. */
  interrupted: 130,
} as const;

/** One of the exit codes. */
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** The command line asks for something that cannot be. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

const refusals = new Set([
  "INVALID_ARGUMENT",
  "NOT_FOUND",
  "PERMISSION_DENIED",
  "UNAUTHENTICATED",
  "FAILED_PRECONDITION",
  "UNIMPLEMENTED",
  "OUT_OF_RANGE",
  "DATA_LOSS",
]);

/** The exit code of a command that ended with this error. */
export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.ok : ExitCode.usage;
  if (error instanceof UsageError) return ExitCode.usage;
  if (!(error instanceof PolygraftError)) return ExitCode.failure;
  if (error.code === "INVALID_REQUEST") return ExitCode.usage;
  if (refusals.has(error.status)) return ExitCode.refused;
  return error.retryable || error.status === "DEADLINE_EXCEEDED" ? ExitCode.unavailable : ExitCode.failure;
}

/** Codes of requests that no server has seen, so that their ids lead nowhere. */
const neverSent = new Set<string>(["INVALID_REQUEST", "UNAVAILABLE"]);

/** What to print about an error: what happened, where, and what to do next where that is known. */
export function explain(error: unknown): string {
  if (!(error instanceof PolygraftError)) return error instanceof Error ? error.message : String(error);
  const lines = [`${error.message} (${error.code})`];
  for (const { field, description } of error.fields) lines.push(`  ${field}: ${description}`);
  if (error.worker !== undefined) lines.push(`  worker: ${error.worker}`);
  if (error.requestId !== undefined && !neverSent.has(error.code)) lines.push(`  request: ${error.requestId}`);
  const advice = adviceFor(error);
  if (advice !== undefined) lines.push(advice);
  return lines.join("\n");
}

function adviceFor(error: PolygraftError): string | undefined {
  switch (error.code) {
    case "UNAVAILABLE":
      return "Start a server with `polygraft up --model DIR`, or name a running one with --router HOST:PORT.";
    case "ADAPTER_NOT_FOUND":
      return "`polygraft adapters` lists those that there are.";
    case "UNAUTHENTICATED":
      return "Put the key into the environment variable POLYGRAFT_API_KEY.";
    case "NO_WORKER":
      return "Workers may still be loading the model: try again, or look at the output of `polygraft up`.";
    default:
      return error.retryAfterMs === undefined ? undefined : `Try again in ${Math.ceil(error.retryAfterMs / 1000)} s.`;
  }
}
