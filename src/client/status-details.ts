import { BinaryReader } from "@bufbuild/protobuf/wire";

/** One packed detail of a `google.rpc.Status`. */
export interface PackedDetail {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

/**
 * Reads the details of a serialized `google.rpc.Status`. Only they are read: code and message came with the trailers.
 * Throws if the bytes are no such message.
 */
export function decodeStatusDetails(bytes: Uint8Array): PackedDetail[] {
  return readAll(bytes, 3).map((any) => ({
    typeUrl: new TextDecoder().decode(readAll(any, 1)[0]),
    value: readAll(any, 2)[0] ?? new Uint8Array(),
  }));
}

/** All length-delimited values of one field. */
function readAll(bytes: Uint8Array, field: number): Uint8Array[] {
  const reader = new BinaryReader(bytes);
  const values: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (number === field && wireType === 2) values.push(reader.bytes());
    else reader.skip(wireType, number);
  }
  return values;
}
