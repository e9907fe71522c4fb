/** Bytes that a gate holds at most before it lets them go unseen. */
export const maxHeldBytes = 64 * 1024;

const prefixBytes = 5;
const nothing = Buffer.alloc(0);

/**
 * Stands between a worker's response bytes and the client, with two rules.
 *
 * **Closed until output.** Messages that begin with `preambleTag` (a worker's `accepted`) stay here, because they say
 * which worker serves the request. The gate opens at the first complete message of another kind: until then nothing
 * has left, and another worker can take over unnoticed.
 *
 * **Whole messages only.** A message that has not arrived completely is held, so that a client whose worker is lost
 * gets a status after the last whole message and never half of one.
 *
 * The gate of a stream that is continued passes no preamble at all: the client has had one.
 *
 * No message is decoded: a gate reads its 5-byte prefix and at most one byte more. Compressed messages, and those of
 * more than 64 KiB, open it and pass as they come.
 */
export class ResponseGate {
  readonly #preambleTag: number;
  readonly #passesPreamble: boolean;
  #held: Buffer = nothing;
  /** Bytes of `#held` that are known to be preamble. */
  #preamble = 0;
  /** Bytes still to come of a message too long to hold. */
  #passing = 0;
  #open = false;

  constructor(preambleTag: number, passesPreamble = true) {
    this.#preambleTag = preambleTag;
    this.#passesPreamble = passesPreamble;
  }

  /** Whether output has been let through. From then on there is no way back. */
  get open(): boolean {
    return this.#open;
  }

  /** Whether there is the beginning of a message without its end. */
  get torn(): boolean {
    return this.#passing > 0 || this.#held.length > this.#preamble;
  }

  /** Takes bytes from the worker; returns those that may go to the client now. */
  push(chunk: Buffer): Buffer {
    if (this.#open && this.#held.length === 0 && this.#passing === 0 && isOneMessage(chunk)) return chunk;
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    let end = this.#open ? Math.min(this.#passing, bytes.length) : this.#preamble;
    this.#passing = Math.max(0, this.#passing - (this.#open ? end : 0));
    let start = 0;
    const open = () => {
      if (!this.#open && !this.#passesPreamble) start = end;
      this.#open = true;
    };
    while (bytes.length - end >= prefixBytes) {
      const size = prefixBytes + bytes.readUInt32BE(end + 1);
      if (bytes.length - end < size) {
        if (size <= maxHeldBytes) break;
        open();
        this.#passing = end + size - bytes.length;
        end = bytes.length;
        break;
      }
      if (!this.#isPreamble(bytes, end, size)) open();
      end += size;
    }
    if (bytes.length > maxHeldBytes) open();
    if (this.#open) {
      this.#held = bytes.subarray(end);
      this.#preamble = 0;
      return bytes.subarray(start, end);
    }
    this.#held = bytes;
    this.#preamble = end;
    return nothing;
  }

  /** Opens the gate at the end of a successful answer; returns what it held of whole messages. */
  release(): Buffer {
    this.#open = true;
    const released = this.#passesPreamble ? this.#held.subarray(0, this.#preamble) : nothing;
    this.#held = this.#held.subarray(this.#preamble);
    this.#preamble = 0;
    return released;
  }

  #isPreamble(bytes: Buffer, start: number, size: number): boolean {
    return bytes[start] === 0 && size > prefixBytes && bytes[start + prefixBytes] === this.#preambleTag;
  }
}

/** What nearly all chunks are once a stream runs: nothing has to be cut. */
function isOneMessage(chunk: Buffer): boolean {
  return chunk.length >= prefixBytes && chunk.readUInt32BE(1) === chunk.length - prefixBytes;
}
