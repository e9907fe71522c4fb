import type { ErrorReason } from "@polygraft/api";

/** Names of gRPC status codes, as the specification spells them. */
export const statusNames = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
] as const;

/** Name of a gRPC status code. */
export type StatusName = (typeof statusNames)[number];

/** Codes that the SDK itself gives; servers never send them. The README lists what each means. */
export const clientErrorCodes = [
  "INVALID_REQUEST",
  "ALREADY_CONSUMED",
  "ABANDONED",
  "CLIENT_CLOSED",
  "FIRST_TOKEN_TIMEOUT",
  "INTER_TOKEN_TIMEOUT",
  "INCOMPLETE_STREAM",
] as const;

/** A code that the SDK itself gives. */
export type ClientErrorCode = (typeof clientErrorCodes)[number];

/** A reason that servers give; `docs/errors.md` lists what each means. */
export type ServerErrorCode = Exclude<keyof typeof ErrorReason, "UNSPECIFIED" | "UNRECOGNIZED">;

/** What a `PolygraftError` can be. Open, because a newer server may know reasons that this SDK does not. */
export type PolygraftErrorCode = ServerErrorCode | ClientErrorCode | StatusName | (string & {});

/** A field of a request that is wrong, and why. */
export interface FieldViolation {
  /** Path of the field in the contract, such as "sampling.temperature". */
  readonly field: string;
  /** What is wrong with it, and which limit holds. */
  readonly description: string;
}

/** What is known about a failure besides its message. */
export interface PolygraftErrorDetails {
  readonly code: PolygraftErrorCode;
  readonly status: StatusName;
  readonly retryable?: boolean | undefined;
  readonly retryAfterMs?: number | undefined;
  readonly fields?: readonly FieldViolation[] | undefined;
  readonly adapter?: string | undefined;
  readonly worker?: string | undefined;
  readonly requestId?: string | undefined;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  readonly cause?: unknown;
}

const brand: unique symbol = Symbol.for("@polygraft/client/PolygraftError") as never;

/**
 * Every failure that the SDK reports. Branch on `code`, which is stable; the message is for people.
 * `instanceof` holds across several installed copies of this package.
 */
export class PolygraftError extends Error {
  override readonly name: string = "PolygraftError";
  /** Why it failed: the server's reason, else a code of the SDK, else the name of the gRPC status. */
  readonly code: PolygraftErrorCode;
  /** The gRPC status. For failures found before sending, the one that a server would have given. */
  readonly status: StatusName;
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;
  /** How long the server asks to wait before that, in milliseconds. */
  readonly retryAfterMs: number | undefined;
  /** The fields that are wrong. Empty unless the request was invalid. */
  readonly fields: readonly FieldViolation[];
  /** The adapter asked for, as "id" or "id@revision". */
  readonly adapter: string | undefined;
  /** Name of the worker that served or lost the request, where known. */
  readonly worker: string | undefined;
  /** The id under which servers log the request. */
  readonly requestId: string | undefined;
  /** What else the server said, such as the name of a tensor. */
  readonly metadata: Readonly<Record<string, string>>;

  constructor(message: string, details: PolygraftErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = details.code;
    this.status = details.status;
    this.retryable = details.retryable ?? false;
    this.retryAfterMs = details.retryAfterMs;
    this.fields = details.fields ?? [];
    this.adapter = details.adapter;
    this.worker = details.worker;
    this.requestId = details.requestId;
    this.metadata = details.metadata ?? {};
    Object.defineProperty(this, brand, { value: true });
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    // A subclass keeps the ordinary meaning; the class itself knows its twins from other copies by the brand.
    // oxlint-disable-next-line no-prototype-builtins
    if (this !== PolygraftError) return Object.prototype.isPrototypeOf.call(this.prototype, value as object);
    return typeof value === "object" && value !== null && brand in value;
  }
}
