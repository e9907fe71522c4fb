import { constants } from "node:http2";
import type { ClientHttp2Stream, IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http2";
import { Status } from "nice-grpc";
import { bytesOf, passedOn, single } from "./headers.js";
import { resetName } from "./reset-codes.js";
import type { SessionPool } from "./session-pool.js";
import { failureTrailers } from "./trailers.js";

/** A target's last word: trailers with a gRPC status. */
export interface Answer {
  readonly status: number;
  readonly trailers: OutgoingHttpHeaders;
}

/** Hears what becomes of a call at its target. `finished` or `lost` is the last to be called. */
export interface UpstreamListener {
  /** Response headers. Not called when the answer is trailers alone. */
  head(headers: OutgoingHttpHeaders): void;
  data(chunk: Buffer): void;
  /** There is room to write again. */
  writable(): void;
  finished(answer: Answer): void;
  /** The call ended without a gRPC status, or what came was not gRPC. Nothing of it can be trusted to be complete. */
  lost(cause: string): void;
}

/** A call to a target: one stream on a pooled connection. */
export class UpstreamCall {
  readonly #stream: ClientHttp2Stream;
  readonly #maxHeaderBytes: number;
  #listener: UpstreamListener | undefined;
  #trailers: IncomingHttpHeaders | undefined;
  #ended = false;
  #cause: string | undefined;

  constructor(pool: SessionPool, address: string, headers: OutgoingHttpHeaders, listener: UpstreamListener) {
    this.#listener = listener;
    this.#maxHeaderBytes = pool.maxHeaderBytes;
    const stream = pool.request(address, headers);
    this.#stream = stream;
    stream.on("response", (received) => this.#head(received));
    stream.on("trailers", (received) => this.#last(received));
    stream.on("data", (chunk: Buffer) => this.#listener?.data(chunk));
    stream.on("drain", () => this.#listener?.writable());
    stream.on("end", () => {
      this.#ended = true;
      this.#finish();
    });
    stream.on("error", (error: Error) => {
      this.#cause ??= error.message;
    });
    stream.on("close", () => this.#lose(this.#cause ?? closeCause(stream.rstCode ?? 0)));
  }

  /** Sends bytes. False: wait for `writable` before sending more. */
  write(chunk: Buffer): boolean {
    return this.#stream.writable ? this.#stream.write(chunk) : true;
  }

  /** Sends the last bytes and says that there will be no more. */
  end(chunk?: Buffer): void {
    if (this.#stream.writable) this.#stream.end(chunk);
  }

  /** Asks for no more data until `resume`. The target notices once the stream's window is used up. */
  pause(): void {
    if (this.#trailers === undefined) this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  /** Ends the call at the target. The listener hears nothing more. */
  cancel(): void {
    this.#listener = undefined;
    this.#stream.resume();
    this.#stream.close(constants.NGHTTP2_CANCEL);
  }

  #head(received: IncomingHttpHeaders): void {
    const status = Number(received[":status"]);
    const contentType = single(received, "content-type") ?? "none";
    if (status !== 200) return this.#refuse(`HTTP status ${status}`);
    if (!contentType.startsWith("application/grpc")) return this.#refuse(`content type ${contentType.slice(0, 64)}`);
    if (received["grpc-status"] !== undefined) return this.#last(received);
    if (this.#isTooLarge("response headers", received)) return;
    this.#listener?.head(passedOn(received));
  }

  /** What is left to read is bounded by the window: it is taken at once, so that the answer outlives its connection. */
  #last(received: IncomingHttpHeaders): void {
    if (this.#isTooLarge("trailers", received)) return;
    this.#trailers = received;
    this.#stream.resume();
    this.#finish();
  }

  #finish(): void {
    if (!this.#ended || this.#trailers === undefined) return;
    const text = single(this.#trailers, "grpc-status") ?? "";
    if (!/^[0-9]{1,2}$/.test(text)) return this.#refuse("trailers without a gRPC status");
    const listener = this.#listener;
    this.#listener = undefined;
    listener?.finished({ status: Number(text), trailers: passedOn(this.#trailers) });
  }

  /**
   * Ends the call if so. Passed on, they would end the client's connection with all of its calls: nghttp2 sends no more
   * than 64 KiB, and many clients take no more than 16. Another target would answer with the same, so none is tried.
   */
  #isTooLarge(what: string, received: IncomingHttpHeaders): boolean {
    const bytes = bytesOf(received);
    if (bytes <= this.#maxHeaderBytes) return false;
    const message = `the worker's ${what} have ${bytes} bytes, more than the limit of ${this.#maxHeaderBytes} bytes`;
    const listener = this.#listener;
    this.#listener = undefined;
    listener?.finished({ status: Status.INTERNAL, trailers: failureTrailers({ status: Status.INTERNAL, reason: "INTERNAL", message }) });
    this.#stream.close(constants.NGHTTP2_CANCEL);
    return true;
  }

  #refuse(cause: string): void {
    this.#lose(cause);
    this.#stream.close(constants.NGHTTP2_CANCEL);
  }

  #lose(cause: string): void {
    const listener = this.#listener;
    this.#listener = undefined;
    listener?.lost(cause);
  }
}

function closeCause(code: number): string {
  return code === constants.NGHTTP2_NO_ERROR ? "it ended without a status" : `it was reset with ${resetName(code)}`;
}
