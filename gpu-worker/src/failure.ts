import type { ErrorReason } from "@polygraft/api";
import { BadRequest, ErrorInfo, RetryInfo, RichServerError, type ErrorDetails } from "nice-grpc-error-details";
import { Status } from "nice-grpc";

/** A stable reason, as in the contract's `ErrorReason` without its prefix. docs/errors.md explains each. */
export type Reason = Exclude<keyof typeof ErrorReason, "UNSPECIFIED" | "UNRECOGNIZED">;

/** The one gRPC status that goes with each reason. */
const STATUS: Readonly<Record<Reason, Status>> = {
  INVALID_FIELD: Status.INVALID_ARGUMENT,
  PROMPT_TOO_LONG: Status.INVALID_ARGUMENT,
  UNSUPPORTED_FEATURE: Status.UNIMPLEMENTED,
  MODEL_NOT_FOUND: Status.NOT_FOUND,
  ADAPTER_NOT_FOUND: Status.NOT_FOUND,
  ADAPTER_INCOMPATIBLE: Status.FAILED_PRECONDITION,
  ADAPTER_DIGEST_MISMATCH: Status.FAILED_PRECONDITION,
  ADAPTER_CORRUPT: Status.DATA_LOSS,
  ADAPTER_SOURCE_FORBIDDEN: Status.PERMISSION_DENIED,
  ADAPTER_SOURCE_UNAVAILABLE: Status.UNAVAILABLE,
  ADAPTER_NOT_READY: Status.UNAVAILABLE,
  ADAPTER_MEMORY_FULL: Status.RESOURCE_EXHAUSTED,
  QUEUE_FULL: Status.RESOURCE_EXHAUSTED,
  NO_WORKER: Status.UNAVAILABLE,
  WORKER_LOST: Status.UNAVAILABLE,
  DRAINING: Status.UNAVAILABLE,
  UNAUTHENTICATED: Status.UNAUTHENTICATED,
  FORBIDDEN: Status.PERMISSION_DENIED,
  INTERNAL: Status.INTERNAL,
};

/** A request field at fault, by its name in the contract, and what is wrong with it. */
export interface Violation {
  readonly field: string;
  readonly description: string;
}

/** What else a failure tells. */
export interface FailureOptions {
  /** For programs, such as the tensor at fault. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly violations?: readonly Violation[];
  /** When a retry has a chance, in milliseconds from now. */
  readonly retryAfterMillis?: number;
  readonly cause?: unknown;
}

/** Why a call fails: what a handler throws, and what the client reads as status and google.rpc details. */
export class Failure extends RichServerError {
  readonly reason: Reason;

  constructor(reason: Reason, message: string, options: FailureOptions = {}) {
    super(STATUS[reason], message, details(reason, options));
    this.reason = reason;
    if (options.cause !== undefined) this.cause = options.cause;
  }
}

/** One or more fields out of their ranges. */
export function invalidFields(violations: readonly Violation[]): Failure {
  const message = violations.map(({ field, description }) => `${field}: ${description}`).join("; ");
  return new Failure("INVALID_FIELD", message, { violations });
}

function details(reason: Reason, { metadata = {}, violations, retryAfterMillis }: FailureOptions): ErrorDetails[] {
  const all: ErrorDetails[] = [ErrorInfo.fromPartial({ reason, domain: "polygraft", metadata })];
  if (violations) all.push(BadRequest.fromPartial({ fieldViolations: [...violations] }));
  if (retryAfterMillis !== undefined) {
    const seconds = Math.floor(retryAfterMillis / 1000);
    const nanos = Math.round(retryAfterMillis % 1000) * 1_000_000;
    all.push(RetryInfo.fromPartial({ retryDelay: { seconds, nanos } }));
  }
  return all;
}
