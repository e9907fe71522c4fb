import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import type { ErrorDetails } from "nice-grpc-error-details";
import { BadRequest, ErrorInfo, RetryInfo } from "nice-grpc-error-details";

/** Name of the trailer that carries a serialized `google.rpc.Status`. */
export const statusDetailsHeader = "grpc-status-details-bin";

const encoders = {
  [ErrorInfo.$type]: ErrorInfo,
  [BadRequest.$type]: BadRequest,
  [RetryInfo.$type]: RetryInfo,
} as Record<string, { encode(message: ErrorDetails): { finish(): Uint8Array } }>;

const typePrefix = "type.googleapis.com/";

/**
 * A `google.rpc.Status` as the text of `grpc-status-details-bin`. Its three fields (code, message, details as `Any`s)
 * are written by hand: the details package keeps the type to itself.
 */
export function encodeStatusDetails(code: number, message: string, details: readonly ErrorDetails[]): string {
  const writer = new BinaryWriter().uint32(8).int32(code).uint32(18).string(message);
  for (const detail of details) {
    const encoder = encoders[detail.$type];
    if (encoder === undefined) throw new TypeError(`no encoder for ${detail.$type}`);
    const value = encoder.encode(detail).finish();
    writer.uint32(26).fork().uint32(10).string(typePrefix + detail.$type).uint32(18).bytes(value).join();
  }
  return Buffer.from(writer.finish()).toString("base64");
}

/**
 * The `reason` of the first `google.rpc.ErrorInfo` in a `grpc-status-details-bin` trailer. Undefined if there is none,
 * or if the trailer is malformed: it comes from another process and must not be able to break this one.
 */
export function reasonOf(trailer: string | undefined): string | undefined {
  if (trailer === undefined) return undefined;
  try {
    for (const any of lengthDelimited(Buffer.from(trailer, "base64"), 3)) {
      const [type] = lengthDelimited(any, 1);
      const [value] = lengthDelimited(any, 2);
      if (type === undefined || value === undefined) continue;
      if (Buffer.from(type).toString() === typePrefix + ErrorInfo.$type) return ErrorInfo.decode(value).reason;
    }
  } catch {
    // Fall through: no reason can be read.
  }
  return undefined;
}

/** All length-delimited values of one field. */
function lengthDelimited(message: Uint8Array, field: number): Uint8Array[] {
  const reader = new BinaryReader(message);
  const found: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (number === field && wireType === 2) found.push(reader.bytes());
    else reader.skip(wireType, number);
  }
  return found;
}
