/** The frame types of HTTP/2 that matter here (RFC 9113, section 6). */
export const frameType = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goaway: 7, windowUpdate: 8 } as const;

/** Flags of frames. */
export const flag = { endStream: 1, ack: 1, endHeaders: 4, padded: 8 } as const;

export const headerBytes = 9;

/** What a client says first. */
export const clientPreface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** Hears of a frame: its payload is `bytes` from `start` to before `end`, and is valid during the call only. */
export type OnFrame = (type: number, flags: number, stream: number, bytes: Buffer, start: number, end: number) => void;

/** Cuts a byte stream into frames. Nothing is copied but a frame that arrives in parts. */
export class FrameReader {
  readonly #onFrame: OnFrame;
  #skip: number;
  #rest: Buffer | undefined;

  /** @param skip bytes that come before the first frame */
  constructor(onFrame: OnFrame, skip: number) {
    this.#onFrame = onFrame;
    this.#skip = skip;
  }

  push(chunk: Buffer): void {
    const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = Math.min(this.#skip, bytes.length);
    this.#skip -= at;
    while (bytes.length - at >= headerBytes) {
      const end = at + headerBytes + bytes.readUIntBE(at, 3);
      if (end > bytes.length) break;
      this.#onFrame(bytes[at + 3]!, bytes[at + 4]!, bytes.readUInt32BE(at + 5) & 0x7fffffff, bytes, at + headerBytes, end);
      at = end;
    }
    this.#rest = at === bytes.length ? undefined : bytes.subarray(at);
  }
}

/** A whole frame. */
export function frame(type: number, flags: number, stream: number, payload: Uint8Array = new Uint8Array()): Buffer {
  const bytes = Buffer.allocUnsafe(headerBytes + payload.length);
  writeHeader(bytes, 0, payload.length, type, flags, stream);
  bytes.set(payload, headerBytes);
  return bytes;
}

/** Writes the head of a frame. */
export function writeHeader(bytes: Buffer, at: number, length: number, type: number, flags: number, stream: number): void {
  bytes[at] = length >>> 16;
  bytes[at + 1] = length >>> 8;
  bytes[at + 2] = length;
  bytes[at + 3] = type;
  bytes[at + 4] = flags;
  bytes.writeUInt32BE(stream, at + 5);
}

/** A 32-bit number as bytes. */
export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
