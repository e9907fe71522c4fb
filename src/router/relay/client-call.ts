import { constants } from "node:http2";
import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { Status } from "nice-grpc";
import type { Failure } from "../failure.js";
import type { Timers } from "../timers.js";
import { parseGrpcTimeout } from "./grpc-timeout.js";
import { single } from "./headers.js";
import type { CallHead } from "./relay.js";
import { acceptedEncodings } from "./request-reader.js";
import { failureTrailers } from "./trailers.js";

/** How long a client that has been told the end may take to end its side, in milliseconds. */
const lingerMillis = 5000;

const responseHead = {
  ":status": 200,
  "content-type": "application/grpc",
  "grpc-accept-encoding": acceptedEncodings,
} as const;

/** Hears what the client does. Nothing is called after the call has been finished, failed or cancelled. */
export interface ClientListener {
  data(chunk: Buffer): void;
  /** The client has sent all it will send. */
  end(): void;
  /** There is room to write again. */
  writable(): void;
  /** The client has left, or its connection is lost. */
  cancelled(): void;
  /** The deadline has passed; the client has been told. */
  expired(): void;
}

/** A call as the client sees it: one stream on the router's side, with its deadline. */
export class ClientCall {
  readonly head: CallHead;
  readonly #stream: ServerHttp2Stream;
  readonly #timers: Timers;
  readonly #deadline: number | undefined;
  #listener: ClientListener | undefined;
  #stopTimer = () => {};
  #requestEnded = false;
  #trailers: OutgoingHttpHeaders = {};

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, timers: Timers) {
    const { remoteAddress: peer = "", localPort: port = 0 } = stream.session?.socket ?? {};
    this.head = { path: single(headers, ":path") ?? "", headers, peer, port };
    this.#stream = stream;
    this.#timers = timers;
    const timeout = single(headers, "grpc-timeout");
    const millis = timeout === undefined ? undefined : parseGrpcTimeout(timeout);
    this.#deadline = millis === undefined ? undefined : timers.now() + millis;
    stream.on("error", () => {});
    stream.on("wantTrailers", () => {
      stream.sendTrailers(this.#trailers);
      this.#stopRequest();
    });
    stream.on("end", () => {
      this.#requestEnded = true;
      this.#listener?.end();
    });
    stream.on("drain", () => this.#listener?.writable());
    stream.on("close", () => {
      this.#stopTimer();
      this.#done()?.cancelled();
    });
  }

  /** Starts to listen. */
  start(listener: ClientListener): void {
    this.#listener = listener;
    this.#stream.on("data", (chunk: Buffer) => this.#listener?.data(chunk));
    if (this.#deadline !== undefined) {
      this.#stopTimer = this.#timers.after(this.#deadline - this.#timers.now(), () => this.#expire());
    }
  }

  /** Milliseconds until the deadline. Undefined: there is none. */
  get millisLeft(): number | undefined {
    return this.#deadline === undefined ? undefined : Math.max(0, this.#deadline - this.#timers.now());
  }

  /** Sends the response headers. */
  respond(headers: OutgoingHttpHeaders): void {
    if (this.#stream.headersSent || this.#stream.destroyed) return;
    this.#stream.respond({ ...responseHead, ...headers }, { waitForTrailers: true });
  }

  /** Sends bytes. False: wait for `writable` before sending more. */
  write(chunk: Buffer): boolean {
    return this.#stream.writable ? this.#stream.write(chunk) : true;
  }

  /** Takes no more from the client until `resume`. */
  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  /** Ends the call with trailers, or with trailers alone when no headers have gone out. */
  finish(trailers: OutgoingHttpHeaders, headers: OutgoingHttpHeaders = {}): void {
    this.#done();
    const stream = this.#stream;
    this.#stopTimer();
    if (stream.destroyed || stream.closed) return;
    if (stream.headersSent) {
      this.#trailers = trailers;
      stream.end();
    } else {
      stream.respond({ ...responseHead, ...headers, ...trailers }, { endStream: true });
      this.#stopRequest();
    }
  }

  /** Answers with an HTTP status: the request is no gRPC. */
  refuse(httpStatus: number): void {
    this.#stream.respond({ ":status": httpStatus }, { endStream: true });
    this.#stopRequest();
  }

  /** Ends the call with a failure. */
  fail(failure: Failure, trailers: Readonly<Record<string, string>> = {}): void {
    this.finish({ ...failureTrailers(failure), ...trailers });
  }

  /**
   * A client that still sends, although it has been told the end, has to stop: else the stream would stay half open for
   * ever. Gently, because a reset on the heels of trailers can overtake them.
   */
  #stopRequest(): void {
    this.#stream.resume();
    if (!this.#requestEnded) this.#closeAfterLinger(constants.NGHTTP2_NO_ERROR);
  }

  #closeAfterLinger(code: number): void {
    this.#stopTimer();
    this.#stopTimer = this.#timers.after(lingerMillis, () => this.#stream.close(code));
  }

  #expire(): void {
    const listener = this.#done();
    this.fail({ status: Status.DEADLINE_EXCEEDED, message: "the deadline of the call has passed" });
    // It may not be reading at all: after its own deadline nobody has to wait for it.
    this.#closeAfterLinger(constants.NGHTTP2_CANCEL);
    listener?.expired();
  }

  /** Takes the listener off; whoever gets it may tell it the end. */
  #done(): ClientListener | undefined {
    const listener = this.#listener;
    this.#listener = undefined;
    return listener;
  }
}
