import type { ErrorReason } from "@polygraft/api";
import { Status } from "nice-grpc";
import type { ErrorDetails } from "nice-grpc-error-details";
import { BadRequest, ErrorInfo, RetryInfo, RichServerError } from "nice-grpc-error-details";

/** A stable reason of failure, as in the contract's `ErrorReason` without its prefix. docs/errors.md explains each. */
export type Reason = Exclude<keyof typeof ErrorReason, "UNSPECIFIED" | "UNRECOGNIZED">;

/** `google.rpc.ErrorInfo.domain` of all our failures. */
export const errorDomain = "polygraft";

/** Why a call fails, before it takes the shape of trailers or of an exception. */
export interface Failure {
  readonly status: Status;
  /** For people: what happened, which field, which limit, what to do next. */
  readonly message: string;
  /** Absent where the status says it all, as with DEADLINE_EXCEEDED. */
  readonly reason?: Reason;
  /** For programs, beside the reason: such as `worker`. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Fields of the request that are at fault. */
  readonly violations?: readonly { readonly field: string; readonly description: string }[];
  /** When a retry has a chance, in milliseconds from now. Absent: a retry is pointless, or the caller's choice. */
  readonly retryAfterMillis?: number;
}

/** Tells a failure from a result. No result has both of its required fields. */
export function isFailure(value: object): value is Failure {
  return "status" in value && "message" in value;
}

/** A request field that is missing or out of its range. */
export function invalidField(field: string, description: string): Failure {
  return {
    status: Status.INVALID_ARGUMENT,
    reason: "INVALID_FIELD",
    message: `${field}: ${description}`,
    violations: [{ field, description }],
  };
}

/** The `google.rpc` details that say the same as the failure. */
export function failureDetails(failure: Failure): ErrorDetails[] {
  const details: ErrorDetails[] = [];
  if (failure.reason !== undefined) {
    const { reason, metadata = {} } = failure;
    details.push(ErrorInfo.fromPartial({ reason, domain: errorDomain, metadata }));
  }
  if (failure.violations !== undefined) {
    details.push(BadRequest.fromPartial({ fieldViolations: [...failure.violations] }));
  }
  if (failure.retryAfterMillis !== undefined) {
    const seconds = Math.floor(failure.retryAfterMillis / 1000);
    const nanos = Math.round(failure.retryAfterMillis % 1000) * 1_000_000;
    details.push(RetryInfo.fromPartial({ retryDelay: { seconds, nanos } }));
  }
  return details;
}

/** The failure as what a nice-grpc handler throws. */
export function serverError(failure: Failure): RichServerError {
  return new RichServerError(failure.status, failure.message, failureDetails(failure));
}
