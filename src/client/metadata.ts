import { Metadata } from "@grpc/grpc-js";
import { context, propagation } from "@opentelemetry/api";
import type { Context } from "@opentelemetry/api";
import { PolygraftError } from "./error.js";

/** Headers of a call, or of all calls. Keys are lower-case ASCII. */
export type Headers = Readonly<Record<string, string>>;

/** Builds the metadata of a call from layers of headers, of which later ones win, and the trace context. */
export function callMetadata(layers: readonly (Headers | undefined)[], trace: Context = context.active()): Metadata {
  const metadata = new Metadata();
  for (const layer of layers) {
    for (const [key, value] of Object.entries(layer ?? {})) setHeader(metadata, key, value);
  }
  propagation.inject(trace, metadata, { set: setHeader });
  return metadata;
}

/** Headers carry printable ASCII only; a value that does not fit is left to the message. */
export function asciiHeader(key: string, value: string | undefined): Headers {
  return value !== undefined && printableAscii.test(value) ? { [key]: value } : {};
}

const printableAscii = /^[\x20-\x7e]*$/;

function setHeader(metadata: Metadata, key: string, value: string): void {
  // grpc-js checks too, but its message repeats the value, which may be a secret.
  if (!printableAscii.test(value) || !/^[0-9a-z_.-]+$/i.test(key)) {
    throw new PolygraftError(`the header ${JSON.stringify(key)} has a name or a value that is not printable ASCII`, {
      code: "INVALID_REQUEST",
      status: "INVALID_ARGUMENT",
      fields: [{ field: `headers.${key}`, description: "must be printable ASCII" }],
    });
  }
  metadata.set(key, value);
}
