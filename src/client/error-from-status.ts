import { Metadata, status as StatusCode } from "@grpc/grpc-js";
import { BadRequest, ErrorInfo, RetryInfo } from "nice-grpc-error-details";
import { decodeStatusDetails } from "./status-details.js";
import { PolygraftError, statusNames } from "./error.js";
import type { FieldViolation, StatusName } from "./error.js";

/** What the caller of a failed RPC knows about it. */
export interface CallContext {
  /** "host:port" of the server, for messages. */
  readonly address: string;
  readonly requestId?: string | undefined;
  readonly adapter?: string | undefined;
  readonly worker?: string | undefined;
}

interface GrpcFailure {
  readonly code: number;
  readonly details: string;
  readonly metadata: Metadata;
}

interface Details {
  info?: ErrorInfo;
  retryAfterMs?: number;
  fields: FieldViolation[];
}

/** Turns whatever a call failed with into a `PolygraftError` that says which call it was. */
export function errorFromCall(failure: unknown, context: CallContext): PolygraftError {
  if (failure instanceof PolygraftError) return withContext(failure, context);
  if (!isGrpcFailure(failure)) {
    const message = failure instanceof Error ? failure.message : String(failure);
    const { requestId, adapter, worker } = context;
    return new PolygraftError(message, { code: "INTERNAL", status: "INTERNAL", requestId, adapter, worker, cause: failure });
  }
  const status = statusNames[failure.code] ?? "UNKNOWN";
  const details = readDetails(failure.metadata);
  const retryAfterMs = details.retryAfterMs ?? readPushback(failure.metadata);
  const reason = details.info?.domain === "polygraft" ? details.info.reason : undefined;
  const refused = retryAfterMs !== undefined && retryAfterMs < 0;
  return new PolygraftError(describe(failure, status, reason, context), {
    code: reason ?? status,
    status,
    retryable: !refused && (status === "UNAVAILABLE" || retryAfterMs !== undefined),
    retryAfterMs: refused ? undefined : retryAfterMs,
    fields: details.fields,
    metadata: details.info?.metadata,
    requestId: context.requestId,
    adapter: details.info?.metadata["adapter"] ?? context.adapter,
    worker: details.info?.metadata["worker"] ?? context.worker,
    cause: failure,
  });
}

function withContext(error: PolygraftError, { requestId, adapter, worker }: CallContext): PolygraftError {
  if (error.requestId !== undefined || requestId === undefined) return error;
  return new PolygraftError(error.message, { ...error, requestId, adapter, worker, cause: error.cause });
}

function isGrpcFailure(failure: unknown): failure is GrpcFailure {
  return failure instanceof Error && "code" in failure && typeof failure.code === "number" && "metadata" in failure;
}

function readDetails(metadata: Metadata): Details {
  const packed = metadata.get("grpc-status-details-bin")[0];
  if (!(packed instanceof Uint8Array)) return { fields: [] };
  try {
    return decodeDetails(packed);
  } catch {
    // Details that cannot be read must not hide the failure that they belong to.
    return { fields: [] };
  }
}

function decodeDetails(packed: Uint8Array): Details {
  const details: Details = { fields: [] };
  for (const { typeUrl, value } of decodeStatusDetails(packed)) {
    if (typeUrl.endsWith("/google.rpc.ErrorInfo")) details.info = ErrorInfo.decode(value);
    if (typeUrl.endsWith("/google.rpc.BadRequest")) details.fields.push(...BadRequest.decode(value).fieldViolations);
    if (typeUrl.endsWith("/google.rpc.RetryInfo")) {
      const delay = RetryInfo.decode(value).retryDelay;
      if (delay !== undefined) details.retryAfterMs = Number(delay.seconds) * 1000 + delay.nanos / 1e6;
    }
  }
  return details;
}

/** gRPC's own way of asking to wait; a negative or malformed value asks not to retry at all. */
function readPushback(metadata: Metadata): number | undefined {
  const value = metadata.get("grpc-retry-pushback-ms")[0];
  if (value === undefined) return undefined;
  return /^\d+$/.test(String(value)) ? Number(value) : -1;
}

function describe(failure: GrpcFailure, status: StatusName, reason: string | undefined, context: CallContext): string {
  if (reason === undefined && failure.code === StatusCode.UNAVAILABLE) {
    return `cannot reach a polygraft server at ${context.address}: ${failure.details.replace(/\.? Resolution note:\s*$/, "")}`;
  }
  if (reason === undefined && failure.code === StatusCode.DEADLINE_EXCEEDED) {
    return `the deadline passed before the call was done (${failure.details})`;
  }
  return failure.details === "" ? status : failure.details;
}
