import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { Metadata } from "@grpc/grpc-js";
import { BadRequest, ErrorInfo, RetryInfo } from "nice-grpc-error-details";
import { statusNames } from "../error.js";
import type { PolygraftError } from "../error.js";

/** The trailers with which a server reports a failure: a packed `google.rpc.Status`, as `errorFromCall` reads it. */
export function statusMetadata(error: PolygraftError): Metadata {
  const { adapter, worker, retryAfterMs } = error;
  const known = { ...error.metadata, ...(adapter === undefined ? {} : { adapter }), ...(worker === undefined ? {} : { worker }) };
  const info = ErrorInfo.fromPartial({ reason: error.code, domain: "polygraft", metadata: known });
  const details = [detail("ErrorInfo", ErrorInfo.encode(info).finish())];
  if (error.fields.length > 0) {
    const violations = BadRequest.fromPartial({ fieldViolations: error.fields.map((field) => ({ ...field })) });
    details.push(detail("BadRequest", BadRequest.encode(violations).finish()));
  }
  if (retryAfterMs !== undefined) {
    const retryDelay = { seconds: Math.floor(retryAfterMs / 1000), nanos: Math.round((retryAfterMs % 1000) * 1e6) };
    details.push(detail("RetryInfo", RetryInfo.encode(RetryInfo.fromPartial({ retryDelay })).finish()));
  }
  const status = new BinaryWriter().uint32(tag(1, 0)).int32(statusNames.indexOf(error.status));
  status.uint32(tag(2, 2)).string(error.message);
  for (const packed of details) status.uint32(tag(3, 2)).bytes(packed);
  const metadata = new Metadata();
  metadata.set("grpc-status-details-bin", Buffer.from(status.finish()));
  return metadata;
}

/** A `google.protobuf.Any`. */
function detail(name: string, value: Uint8Array): Uint8Array {
  const url = `type.googleapis.com/google.rpc.${name}`;
  return new BinaryWriter().uint32(tag(1, 2)).string(url).uint32(tag(2, 2)).bytes(value).finish();
}

function tag(field: number, wireType: number): number {
  return (field << 3) | wireType;
}
