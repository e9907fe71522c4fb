/** What a client says first on a connection (RFC 9113, 3.4). */
export const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** Types of frames (RFC 9113, 6). */
export const frameTypes = { data: 0, headers: 1, priority: 2, reset: 3, settings: 4, ping: 6, goaway: 7, windowUpdate: 8, continuation: 9 } as const;

/** One frame as it goes over the wire. */
export function http2Frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const bytes = Buffer.alloc(9 + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(stream, 5);
  payload.copy(bytes, 9);
  return bytes;
}

/** SETTINGS that change nothing. */
export const settings = http2Frame(frameTypes.settings, 0, 0, Buffer.alloc(0));

/** A PING, and the answer to it. */
export const ping = http2Frame(frameTypes.ping, 0, 0, Buffer.from("12345678"));
export const pong = http2Frame(frameTypes.ping, 1, 0, Buffer.from("12345678"));

/** The type of each whole frame among received bytes, in order. */
export function frameTypesIn(received: Buffer): number[] {
  const types: number[] = [];
  for (let at = 0; at + 9 <= received.length; at += 9 + received.readUIntBE(at, 3)) types.push(received[at + 3]!);
  return types;
}
