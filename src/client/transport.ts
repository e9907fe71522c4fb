import { isIP } from "node:net";
import { Client, Metadata, credentials } from "@grpc/grpc-js";
import type { CallOptions, ChannelCredentials } from "@grpc/grpc-js";
import { parseAddress } from "./address.js";
import type { Address } from "./address.js";
import { PolygraftError } from "./error.js";
import type { TlsOptions } from "./options.js";

/** What the code generator says of a message type. */
interface MessageType<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
}

/** A method of the contract. */
export interface Method<Request, Response> {
  /** As in "/polygraft.v1.InferenceService/Generate". */
  readonly path: string;
  readonly requestType: MessageType<Request>;
  readonly responseType: MessageType<Response>;
}

/** Names a method of a generated service definition by its path. */
export function method<Request, Response>(
  service: { readonly fullName: string },
  definition: { readonly name: string; readonly requestType: MessageType<Request>; readonly responseType: MessageType<Response> },
): Method<Request, Response> {
  const { name, requestType, responseType } = definition;
  return { path: `/${service.fullName}/${name}`, requestType, responseType };
}

/** What accompanies one RPC. */
export interface RpcOptions {
  readonly metadata: Metadata;
  /** When it must be done, in milliseconds since the epoch. Infinity: never. It travels to the server. */
  readonly deadline: number;
  /** Cancels it. */
  readonly signal: AbortSignal;
  /** Told the response's headers, before the first message. */
  readonly onHeaders?: (headers: Metadata) => void;
}

/** A call with streams both ways. */
export interface BidiStream<Request, Response> {
  /** Sends a message. After the end of the call it does nothing. */
  send(message: Request): void;
  /** What the server says. Read as fast as it is consumed, once. */
  readonly responses: AsyncIterable<Response>;
  /** Ends the call. */
  cancel(): void;
}

const takingTurns = JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] });

/**
 * One connection to one server. It is opened by the first call and reopened after it broke.
 *
 * It uses grpc-js itself rather than nice-grpc, because deadlines must travel in `grpc-timeout` and because the stream
 * is read once for each token.
 */
export class Transport {
  readonly address: Address;
  readonly #client: Client;

  /** `isShared`: other transports of this process to the same address may use the same connection. */
  constructor(address: string, tls: TlsOptions | undefined, isShared = true) {
    this.address = parseAddress(address);
    this.#client = new Client(this.address.target, channelCredentials(this.address, tls), {
      // An idle connection through a firewall dies silently; without this only the next call's deadline would tell.
      "grpc.keepalive_time_ms": 60_000,
      "grpc.keepalive_timeout_ms": 20_000,
      // Prompt log-probabilities of a long prompt exceed the 4 MiB that grpc-js allows by default.
      "grpc.max_receive_message_length": 64 * 1024 * 1024,
      "grpc.use_local_subchannel_pool": isShared ? 0 : 1,
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 5_000,
      // A name stands for all routers behind it, as a headless service has it: calls take turns, and leave out those that
      // cannot be reached. It is resolved anew when a connection is lost.
      ...(isIP(this.address.host.replace(/^\[|\]$/g, "")) === 0 ? { "grpc.service_config": takingTurns } : {}),
      ...(tls?.serverName === undefined ? {} : { "grpc.ssl_target_name_override": tls.serverName }),
    });
  }

  /**
   * Makes a server-streaming call. The stream is read as fast as it is consumed: nothing piles up behind it. Leaving the
   * iteration cancels the call; when the signal is aborted, it fails with the signal's reason.
   */
  async *serverStream<Request, Response>(
    { path, requestType, responseType }: Method<Request, Response>,
    request: Request,
    options: RpcOptions,
  ): AsyncGenerator<Response, void> {
    const { metadata, signal, onHeaders } = options;
    signal.throwIfAborted();
    const stream = this.#client.makeServerStreamRequest(
      path,
      (message: Request) => Buffer.from(requestType.encode(message).finish()),
      (bytes) => responseType.decode(bytes),
      request,
      metadata,
      grpcOptions(options),
    );
    // A cancelled call reports its end after the last reader has gone; without a listener that would end the process.
    stream.on("error", () => {});
    if (onHeaders !== undefined) stream.on("metadata", onHeaders);
    const cancel = (): void => stream.cancel();
    signal.addEventListener("abort", cancel, { once: true });
    try {
      yield* stream as AsyncIterable<Response>;
    } catch (failure) {
      signal.throwIfAborted();
      throw failure;
    } finally {
      signal.removeEventListener("abort", cancel);
      stream.cancel();
    }
  }

  /** Makes a call with streams both ways. When the signal is aborted, reading fails. */
  bidiStream<Request, Response>(
    { path, requestType, responseType }: Method<Request, Response>,
    options: RpcOptions,
  ): BidiStream<Request, Response> {
    const { metadata, signal } = options;
    signal.throwIfAborted();
    const stream = this.#client.makeBidiStreamRequest(
      path,
      (message: Request) => Buffer.from(requestType.encode(message).finish()),
      (bytes) => responseType.decode(bytes),
      metadata,
      grpcOptions(options),
    );
    const cancel = (): void => stream.cancel();
    signal.addEventListener("abort", cancel, { once: true });
    // As above: the end of a cancelled call comes after its last reader has gone.
    stream.on("error", () => signal.removeEventListener("abort", cancel));
    stream.on("end", () => signal.removeEventListener("abort", cancel));
    return { send: (message) => void stream.write(message), responses: stream as AsyncIterable<Response>, cancel };
  }

  /** Makes a unary call. When the signal is aborted, it fails with the signal's reason. */
  async unary<Request, Response>(
    { path, requestType, responseType }: Method<Request, Response>,
    request: Request,
    options: RpcOptions,
  ): Promise<Response> {
    const { metadata, signal } = options;
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const cancel = (): void => call.cancel();
      const call = this.#client.makeUnaryRequest(
        path,
        (message: Request) => Buffer.from(requestType.encode(message).finish()),
        (bytes) => responseType.decode(bytes),
        request,
        metadata,
        grpcOptions(options),
        (failure, response) => {
          signal.removeEventListener("abort", cancel);
          if (failure !== null) reject(signal.aborted ? signal.reason : failure);
          else resolve(response as Response);
        },
      );
      signal.addEventListener("abort", cancel, { once: true });
    });
  }

  /** Resolves when the connection stands; rejects when it does not by then. */
  ready(deadline: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#client.waitForReady(deadline, (failure) => {
        if (failure === undefined || failure === null) resolve();
        else reject(failure);
      });
    });
  }

  close(): void {
    this.#client.close();
  }
}

function grpcOptions({ deadline }: RpcOptions): CallOptions {
  return Number.isFinite(deadline) ? { deadline } : {};
}

function channelCredentials(address: Address, tls: TlsOptions | undefined): ChannelCredentials {
  if (!address.tls) return credentials.createInsecure();
  const pem = (value: string | Uint8Array | undefined): Buffer | null => (value === undefined ? null : Buffer.from(value));
  try {
    return credentials.createSsl(pem(tls?.rootCertificates), pem(tls?.privateKey), pem(tls?.certificateChain));
  } catch (failure) {
    throw new PolygraftError(`the certificates for TLS cannot be used: ${(failure as Error).message}`, {
      code: "INVALID_REQUEST",
      status: "INVALID_ARGUMENT",
      fields: [{ field: "tls", description: "must be PEM: authorities, and a private key with the chain of its certificate" }],
      cause: failure,
    });
  }
}
