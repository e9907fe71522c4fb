import { constants } from "node:http2";
import type { Http2SecureServer, Http2Server, IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { Status } from "nice-grpc";
import { invalidField } from "../failure.js";
import type { Failure } from "../failure.js";
import type { Timers } from "../timers.js";
import { ByteBudget } from "./byte-budget.js";
import { ClientCall } from "./client-call.js";
import { createClientServer } from "./client-server.js";
import { bug, DispatchedCall } from "./dispatched-call.js";
import { parseGrpcTimeout } from "./grpc-timeout.js";
import { bytesOf, single } from "./headers.js";
import { keepAlive } from "./keepalive.js";
import type { KeepaliveOptions } from "./keepalive.js";
import { passThrough } from "./passage.js";
import type { CallPolicy, Relay } from "./relay.js";
import type { RelayTls } from "./relay-tls.js";
import { defaultResetLimits, ResetGuard } from "./reset-guard.js";
import type { ResetLimits } from "./reset-guard.js";
import { SessionPool } from "./session-pool.js";
import { Turns } from "./turns.js";

/** Limits of a relay. Sizes are bytes, times milliseconds. */
export interface RelayOptions {
  /** Largest request message of a dispatched call. */
  readonly maxMessageBytes: number;
  /** Request messages that are kept, all calls together. Beyond half of it, only until their answers begin. */
  readonly maxHeldBytes: number;
  /** Time that a client may take to send the request message of a dispatched call. */
  readonly requestTimeoutMillis: number;
  /** Client connections at once. What is more is closed as it comes. */
  readonly maxConnections: number;
  /** Calls at once on one client connection. A client waits, or opens another one. */
  readonly maxStreamsPerSession: number;
  /** Calls that may be reset on one client connection. What is more ends it with ENHANCE_YOUR_CALM. */
  readonly resets: ResetLimits;
  /** Largest headers of a request, and headers or trailers of a response, in bytes. */
  readonly maxHeaderBytes: number;
  /** What one stream may have on its way to the relay. A slow reader is felt by its writer from there on. */
  readonly streamWindowBytes: number;
  /** What one connection may have on its way to the relay. */
  readonly sessionWindowBytes: number;
  readonly connectTimeoutMillis: number;
  /** How a target that vanished or hangs is noticed. */
  readonly keepalive: KeepaliveOptions;
  /** How a client that vanished is noticed. */
  readonly clientKeepalive: KeepaliveOptions;
  /** Request headers that are not passed on, such as credentials. */
  readonly dropHeaders: readonly string[];
}

/** Limits that suit a router between clients and workers. */
export const defaultRelayOptions: RelayOptions = {
  maxMessageBytes: 4 * 1024 * 1024,
  maxHeldBytes: 256 * 1024 * 1024,
  requestTimeoutMillis: 30_000,
  maxConnections: 10_000,
  // Fewer than may be reset: a client may leave all of its calls at once.
  maxStreamsPerSession: 768,
  resets: defaultResetLimits,
  maxHeaderBytes: 16 * 1024,
  streamWindowBytes: 64 * 1024,
  sessionWindowBytes: 1024 * 1024,
  connectTimeoutMillis: 3000,
  keepalive: { intervalMillis: 10_000, timeoutMillis: 5000 },
  clientKeepalive: { intervalMillis: 30_000, timeoutMillis: 20_000 },
  dropHeaders: ["authorization"],
};

/** Hears what goes wrong beside the calls. */
export interface RelayReports {
  /** An exception that no call should be able to cause; the call itself ends with INTERNAL. */
  bug(error: unknown): void;
  /** A client came no further than its TLS handshake. `peer`: its address without the port, if still known. */
  handshakeFailed(peer: string, reason: string): void;
  /** A client's connection was closed as it came, because there are `maxConnections`. `peer` as above. */
  connectionRefused(peer: string): void;
  /** A connection to a target did not come about, or broke. */
  targetFailed(address: string, reason: string): void;
}

/** A relay on `node:http2`. Without TLS clients use HTTP/2 with prior knowledge, as gRPC does. */
export class Http2Relay implements Relay {
  readonly #policy: CallPolicy;
  readonly #options: RelayOptions;
  readonly #timers: Timers;
  readonly #server: Http2Server | Http2SecureServer;
  readonly #pool: SessionPool;
  readonly #budget: ByteBudget;
  readonly #drop: ReadonlySet<string>;
  readonly #turns = new Turns();
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #onBug: (error: unknown) => void;
  readonly #refused: (peer: string | undefined) => void;
  /** Connections that were accepted elsewhere. The server counts the others. */
  #accepted = 0;

  constructor(policy: CallPolicy, options: RelayOptions, timers: Timers, tls: RelayTls, reports: RelayReports) {
    this.#onBug = (error) => reports.bug(error);
    this.#policy = policy;
    this.#options = options;
    this.#timers = timers;
    this.#pool = new SessionPool(options, timers, tls, (address, reason) => reports.targetFailed(address, reason));
    this.#budget = new ByteBudget(options.maxHeldBytes);
    this.#drop = new Set(options.dropHeaders);
    this.#server = createClientServer(options, tls.clients, (peer, reason) => reports.handshakeFailed(peer, reason));
    this.#refused = (peer) => reports.connectionRefused(peer ?? "unknown");
    this.#server.on("drop", (data) => this.#refused(data?.remoteAddress));
    this.#server.on("session", (session) => this.#welcome(session));
    this.#server.on("stream", (stream, headers) => this.#receive(stream, headers));
  }

  listen(host: string, port: number): Promise<{ readonly host: string; readonly port: number }> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, host, () => {
        this.#server.off("error", reject);
        const address = this.#server.address() as AddressInfo;
        resolve({ host: address.address, port: address.port });
      });
    });
  }

  accept(socket: Socket): void {
    if (!this.#server.listening) return void socket.destroy();
    if (this.#accepted >= this.#options.maxConnections) {
      this.#refused(socket.remoteAddress);
      return void socket.destroy();
    }
    this.#accepted += 1;
    socket.once("close", () => (this.#accepted -= 1));
    this.#server.emit("connection", socket);
  }

  async drain(millis: number): Promise<void> {
    const closed = Promise.all([...this.#sessions].map(closeGently));
    this.#server.close();
    let stop = () => {};
    const expired = new Promise<void>((resolve) => {
      stop = this.#timers.after(millis, resolve);
    });
    await Promise.race([closed, expired]);
    stop();
  }

  forget(address: string): void {
    this.#pool.forget(address);
  }

  abandon(address: string): void {
    this.#pool.abandon(address);
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      if (this.#server.listening) this.#server.close(() => resolve());
      else resolve();
    });
    for (const session of this.#sessions) session.destroy();
    this.#pool.close();
    await closed;
  }

  #welcome(session: ServerHttp2Session): void {
    this.#sessions.add(session);
    session.setLocalWindowSize(this.#options.sessionWindowBytes);
    session.on("error", () => {});
    session.once("close", () => this.#sessions.delete(session));
    const guard = new ResetGuard(this.#options.resets, () => this.#timers.now());
    session.on("stream", (stream) => {
      stream.once("close", () => {
        const wasReset = (stream.rstCode ?? 0) !== constants.NGHTTP2_NO_ERROR;
        if (wasReset && !guard.allow()) endSoon(session, constants.NGHTTP2_ENHANCE_YOUR_CALM);
      });
    });
    keepAlive(session, () => true, this.#options.clientKeepalive, this.#timers);
  }

  #receive(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const call = new ClientCall(stream, headers, this.#timers);
    const httpStatus = httpStatusOf(headers);
    if (httpStatus !== undefined) return call.refuse(httpStatus);
    const malformed = refusedHeaders(headers, this.#options.maxHeaderBytes);
    if (malformed !== undefined) return call.fail(malformed);
    try {
      this.#direct(call);
    } catch (error) {
      this.#onBug(error);
      call.fail(bug);
    }
  }

  #direct(call: ClientCall): void {
    const reception = this.#policy.receive(call.head);
    switch (reception.kind) {
      case "refuse":
        return call.fail(reception.failure);
      case "pass":
        return passThrough(call, reception, this.#drop, this.#pool);
      case "dispatch":
        return new DispatchedCall(call, reception, {
          pool: this.#pool,
          maxMessageBytes: this.#options.maxMessageBytes,
          budget: this.#budget,
          requestTimeoutMillis: this.#options.requestTimeoutMillis,
          drop: this.#drop,
          timers: this.#timers,
          turns: this.#turns,
          onBug: this.#onBug,
        }).start();
    }
  }
}

/** Ends a session with GOAWAY; not at once, because Node does not survive it while the session's own frames are read. */
function endSoon(session: ServerHttp2Session, code: number): void {
  setImmediate(() => session.destroy(new Error("the client resets too many calls"), code));
}

/** Sends GOAWAY; resolves when the last stream has ended. */
function closeGently(session: ServerHttp2Session): Promise<void> {
  return new Promise((resolve) => {
    session.once("close", resolve);
    session.close();
  });
}

/** The HTTP status of a request that is not gRPC at all. */
function httpStatusOf(headers: IncomingHttpHeaders): number | undefined {
  if (headers[":method"] !== "POST") return constants.HTTP_STATUS_METHOD_NOT_ALLOWED;
  const contentType = single(headers, "content-type") ?? "";
  const isGrpc = /^application\/grpc(\+proto)?(;|$)/.test(contentType);
  return isGrpc ? undefined : constants.HTTP_STATUS_UNSUPPORTED_MEDIA_TYPE;
}

/** What is wrong with the headers of a gRPC call, if anything. Node announces the limit but does not keep it. */
function refusedHeaders(headers: IncomingHttpHeaders, maxBytes: number): Failure | undefined {
  const bytes = bytesOf(headers);
  if (bytes > maxBytes) {
    const message = `the request headers have ${bytes} bytes, more than the limit of ${maxBytes} bytes`;
    return { status: Status.RESOURCE_EXHAUSTED, message };
  }
  const timeout = single(headers, "grpc-timeout");
  if (timeout === undefined || parseGrpcTimeout(timeout) !== undefined) return undefined;
  return invalidField("grpc-timeout", "must be one to eight digits and a unit of H, M, S, m, u or n");
}
