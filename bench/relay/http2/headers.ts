/** Header blocks without dynamic table and Huffman code (RFC 7541, section 6): any peer reads them, and they need no state. */

/** Entries of the static table (RFC 7541, appendix A) as one byte: name and value. */
const indexed = { post: 0x83, http: 0x86, ok: 0x88 } as const;

/** A name of the static table, not indexed, with a value of its own. */
const named = { authority: [0x01], path: [0x04], contentType: [0x0f, 0x10] } as const;

const grpc = literal(named.contentType, "application/grpc");

/** Headers of a gRPC request. */
export function requestHeaders(path: string, authority: string): Buffer {
  const pseudo = [indexed.post, indexed.http, ...literal(named.path, path), ...literal(named.authority, authority)];
  return Buffer.from([...pseudo, ...grpc, ...literal([0x00, ...text("te")], "trailers")]);
}

/** Headers of a gRPC response that has begun. */
export const responseHeaders = Buffer.from([indexed.ok, ...grpc]);

/** Trailers of a success. */
export const successTrailers = Buffer.from(literal([0x00, ...text("grpc-status")], "0"));

function literal(name: readonly number[], value: string): number[] {
  return [...name, ...text(value)];
}

function text(value: string): number[] {
  const bytes = Buffer.from(value);
  if (bytes.length > 126) throw new RangeError(`header text of ${bytes.length} bytes, at most 126`);
  return [bytes.length, ...bytes];
}
