import type { OutgoingHttpHeaders } from "node:http2";
import { failureDetails } from "../failure.js";
import type { Failure } from "../failure.js";
import { encodeStatusDetails, statusDetailsHeader } from "./status-details.js";

/** gRPC trailers of a failure: status, message, and `google.rpc` details. */
export function failureTrailers(failure: Failure): OutgoingHttpHeaders {
  const trailers: OutgoingHttpHeaders = {
    "grpc-status": String(failure.status),
    "grpc-message": percentEncode(failure.message),
  };
  const details = failureDetails(failure);
  if (details.length > 0) {
    trailers[statusDetailsHeader] = encodeStatusDetails(failure.status, failure.message, details);
  }
  if (failure.retryAfterMillis !== undefined) {
    trailers["grpc-retry-pushback-ms"] = String(Math.round(failure.retryAfterMillis));
  }
  return trailers;
}

/** `grpc-message` as the gRPC protocol wants it: printable ASCII as it is, other bytes and "%" as "%XX". */
export function percentEncode(text: string): string {
  let out = "";
  for (const byte of Buffer.from(text)) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    out += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return out;
}
