import { promisify } from "node:util";
import { gunzip, inflate } from "node:zlib";
import { Status } from "nice-grpc";
import { invalidField } from "../failure.js";
import type { Failure } from "../failure.js";

const prefixBytes = 5;
const inflaters = { gzip: promisify(gunzip), deflate: promisify(inflate) };

/** Message encodings that a request may use, as `grpc-accept-encoding` names them. */
export const acceptedEncodings = "identity,gzip,deflate";

/** Collects the first gRPC message of a request stream, within a bound. */
export class RequestReader {
  readonly #maxBytes: number;
  #chunks: Buffer[] = [];
  #received = 0;
  /** Size of the message with its prefix, once the prefix is in. */
  #expected: number | undefined;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes held so far. */
  get received(): number {
    return this.#received;
  }

  /** Whether the whole message is here. */
  get complete(): boolean {
    return this.#expected !== undefined && this.#received === this.#expected;
  }

  /** Takes bytes; returns a failure when they cannot be the one message of a call. */
  push(chunk: Buffer): Failure | undefined {
    if (chunk.length === 0) return undefined;
    this.#chunks.push(chunk);
    this.#received += chunk.length;
    if (this.#expected === undefined) {
      if (this.#received < prefixBytes) return undefined;
      const prefix = this.#joined();
      const flag = prefix[0] ?? 0;
      if (flag > 1) return invalidField("request", `compressed flag ${flag} of the gRPC message is neither 0 nor 1`);
      const size = prefix.readUInt32BE(1);
      if (size > this.#maxBytes) return tooLarge(size, this.#maxBytes);
      this.#expected = prefixBytes + size;
    }
    return this.#received > this.#expected ? tooManyMessages : undefined;
  }

  /** The message without its prefix, uncompressed, or why it cannot be had: at once unless it is compressed. Needs `complete`. */
  message(encoding: string): Buffer | Failure | Promise<Buffer | Failure> {
    const whole = this.#joined();
    const body = whole.subarray(prefixBytes);
    if (whole[0] === 0) return body;
    if (encoding !== "gzip" && encoding !== "deflate") return unknownEncoding(encoding);
    return this.#inflate(body, encoding);
  }

  async #inflate(body: Buffer, encoding: "gzip" | "deflate"): Promise<Buffer | Failure> {
    try {
      return await inflaters[encoding](body, { maxOutputLength: this.#maxBytes });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") return tooLarge(undefined, this.#maxBytes);
      return invalidField("request", `the compressed message is not valid ${encoding}`);
    }
  }

  #joined(): Buffer {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0] ?? Buffer.alloc(0);
  }
}

/** A message, in parts, behind the gRPC prefix that says "not compressed". */
export function framed(...parts: readonly Uint8Array[]): Buffer {
  const prefix = Buffer.alloc(prefixBytes);
  const frame = Buffer.concat([prefix, ...parts]);
  frame.writeUInt32BE(frame.length - prefixBytes, 1);
  return frame;
}

/** The message of a frame. */
export function unframed(frame: Buffer): Buffer {
  return frame.subarray(prefixBytes);
}

/** The gRPC protocol's answer to a call that has no request message although its method takes one. */
export const noMessage: Failure = {
  status: Status.UNIMPLEMENTED,
  message: "the call ended without a request message; this method takes exactly one",
};

/** Its answer to a call with more than one. */
export const tooManyMessages: Failure = {
  status: Status.UNIMPLEMENTED,
  message: "more than one request message; this method takes exactly one",
};

function tooLarge(size: number | undefined, limit: number): Failure {
  const found = size === undefined ? "inflates to more than" : `has ${size} bytes, more than`;
  return {
    status: Status.RESOURCE_EXHAUSTED,
    message: `the request message ${found} the limit of ${limit} bytes`,
    violations: [{ field: "request", description: `at most ${limit} bytes` }],
  };
}

function unknownEncoding(encoding: string): Failure {
  if (encoding === "identity") {
    return invalidField("grpc-encoding", "the message is flagged as compressed, but the header names no encoding");
  }
  return {
    status: Status.UNIMPLEMENTED,
    reason: "UNSUPPORTED_FEATURE",
    message: `grpc-encoding ${JSON.stringify(encoding.slice(0, 32))} is unknown; use one of ${acceptedEncodings}`,
  };
}
