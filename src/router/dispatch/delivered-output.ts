import { Accepted } from "@polygraft/api";

/** What a client has got of a stream of `GenerateResponse`s. */
export interface Delivered {
  /** The first event: it names seed and adapter content. */
  readonly accepted: Accepted;
  readonly tokenIds: Uint32Array;
  /** Bytes of text, in UTF-8. */
  readonly textBytes: number;
}

/** More tokens than any context holds: a worker that sends more is not believed. */
const maxTokens = 1 << 20;
const firstTokens = 64;

const prefixBytes = 5;
/** Tags: field number and wire type. */
const event = { accepted: 0x0a, promptScores: 0x12, delta: 0x1a, finished: 0x22, adapterChanged: 0x2a } as const;
const delta = { text: 0x0a, tokenIds: 0x12 } as const;
const lengthDelimited = 2;

/**
 * Reads along as responses pass, for the day that their worker is lost. It is on the path of every token, so it looks
 * at lengths and token ids only; the text itself, and scores, are skipped.
 */
export class DeliveredOutput {
  #accepted: Buffer | undefined;
  #tokens = new Uint32Array(firstTokens);
  #count = 0;
  #textBytes = 0;
  /** Whether scores of the prompt came: a stream that is resumed before its first token would send them again. */
  #scored = false;
  /** Whether there was something that could not be read. */
  #unknown = false;
  /** Bytes still to come of a message that passes in portions. */
  #skipping = 0;
  /** Where reading is. */
  #at = 0;

  /** Tokens so far. */
  get count(): number {
    return this.#count;
  }

  /** All of it. Undefined: what the client has got is not exactly known, or only half of a message of it. */
  get(): Delivered | undefined {
    if (this.#unknown || this.#skipping > 0 || this.#accepted === undefined) return undefined;
    if (this.#scored && this.#count === 0) return undefined;
    const tokenIds = this.#tokens.slice(0, this.#count);
    return { accepted: Accepted.decode(this.#accepted), tokenIds, textBytes: this.#textBytes };
  }

  /** Takes framed messages in order: whole ones, and long ones in portions. */
  push(bytes: Buffer): void {
    let at = Math.min(this.#skipping, bytes.length);
    this.#skipping -= at;
    while (at + prefixBytes <= bytes.length) {
      const start = at + prefixBytes;
      const end = start + bytes.readUInt32BE(at + 1);
      if (bytes[at] === 0 && bytes[start] === event.promptScores) this.#scored = true;
      else if (end > bytes.length || bytes[at] !== 0) this.#unknown = true;
      else if (end > start) this.#read(bytes, start, end);
      this.#skipping = Math.max(0, end - bytes.length);
      at = end;
    }
  }

  /** One message: a tag, a length, an event. */
  #read(bytes: Buffer, start: number, end: number): void {
    const tag = bytes[start];
    this.#at = start + 1;
    const size = this.#varint(bytes);
    if (this.#at + size !== end) this.#unknown = true;
    else if (tag === event.delta) this.#readDelta(bytes, end);
    // Copied, because it is a slice of a larger buffer that would live as long.
    else if (tag === event.accepted) this.#accepted = Buffer.from(bytes.subarray(this.#at, end));
    // What was computed with one content and goes on with another has no equal elsewhere.
    else if (tag === event.adapterChanged || tag !== event.finished) this.#unknown = true;
  }

  #readDelta(bytes: Buffer, end: number): void {
    while (this.#at < end) {
      const tag = bytes[this.#at++];
      const size = this.#varint(bytes);
      const next = this.#at + size;
      if (tag === undefined || (tag & 7) !== lengthDelimited || next > end) {
        this.#unknown = true;
        return;
      }
      if (tag === delta.text) this.#textBytes += size;
      else if (tag === delta.tokenIds) while (this.#at < next) this.#add(this.#varint(bytes));
      this.#at = next;
    }
  }

  #add(token: number): void {
    if (this.#count === this.#tokens.length) {
      if (this.#count >= maxTokens) {
        this.#unknown = true;
        return;
      }
      const larger = new Uint32Array(this.#count * 2);
      larger.set(this.#tokens);
      this.#tokens = larger;
    }
    this.#tokens[this.#count++] = token;
  }

  /** A number of up to 32 bits. */
  #varint(bytes: Buffer): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = bytes[this.#at++] ?? 0;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    this.#unknown = true;
    return 0;
  }
}
