import { connect } from "node:http2";
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from "node:http2";
import { GenerateRequest, GenerateResponse } from "@polygraft/api";

/** The path of `Generate`. */
export const generatePath = "/polygraft.v1.InferenceService/Generate";

/** How a raw call ended. */
export interface RawAnswer {
  /** Response headers; of an answer without a body, all there is. */
  readonly head: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** HTTP/2 error code of the stream; 0 if it ended well. */
  readonly code: number;
  /** `grpc-status`, wherever it came. */
  readonly status: string | undefined;
  readonly message: string | undefined;
}

/** A client that speaks HTTP/2 and nothing more, to say what no gRPC library would. */
export interface RawClient extends Disposable {
  readonly session: ClientHttp2Session;
  open(headers?: Readonly<Record<string, string>>): ClientHttp2Stream;
  /** Opens a stream, sends a body, and reads the answer to its end. */
  call(body: Buffer | undefined, headers?: Readonly<Record<string, string>>): Promise<RawAnswer>;
  /** Resolves when the server has handled what was sent on this connection before: a health check came back. */
  settled(): Promise<void>;
}

/** Connects to "host:port". */
export function rawClient(address: string): RawClient {
  const session = connect(`http://${address}`);
  session.on("error", () => {});
  const open = (headers: Readonly<Record<string, string>> = {}) => {
    const defaults = { ":method": "POST", ":path": generatePath, "content-type": "application/grpc", te: "trailers" };
    const stream = session.request({ ...defaults, ...headers }, { endStream: false });
    stream.on("error", () => {});
    const received: Received = { head: {}, trailers: {} };
    stream.on("response", (head) => (received.head = head));
    stream.on("trailers", (trailers) => (received.trailers = trailers));
    receivedOf.set(stream, received);
    return stream;
  };
  const call = (body: Buffer | undefined, headers?: Readonly<Record<string, string>>) => {
    const stream = open(headers);
    stream.end(body);
    return readAnswer(stream);
  };
  return {
    session,
    open,
    call,
    async settled() {
      await call(frame(new Uint8Array()), { ":path": "/grpc.health.v1.Health/Check" });
    },
    [Symbol.dispose]: () => session.destroy(),
  };
}

/** Headers of a stream, which may come before anybody reads its answer. */
interface Received {
  head: IncomingHttpHeaders;
  trailers: IncomingHttpHeaders;
}

const receivedOf = new WeakMap<ClientHttp2Stream, Received>();

/** Reads what comes on a stream that `open` has made, until it closes. Until then nothing of its body is read. */
export function readAnswer(stream: ClientHttp2Stream): Promise<RawAnswer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("close", () => {
      const { head, trailers } = receivedOf.get(stream) ?? { head: {}, trailers: {} };
      const last = { ...head, ...trailers };
      const message = last["grpc-message"] as string | undefined;
      resolve({
        head,
        trailers,
        body: Buffer.concat(chunks),
        code: stream.rstCode ?? 0,
        status: last["grpc-status"] as string | undefined,
        message: message === undefined ? undefined : decodeURIComponent(message),
      });
    });
  });
}

/** A gRPC message: its prefix and its bytes. */
export function frame(bytes: Uint8Array, flag = 0): Buffer {
  const prefix = Buffer.alloc(5);
  prefix[0] = flag;
  prefix.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([prefix, bytes]);
}

/** A request as it goes over the wire. */
export function requestFrame(request: Parameters<typeof GenerateRequest.fromPartial>[0]): Buffer {
  return frame(GenerateRequest.encode(GenerateRequest.fromPartial(request)).finish());
}

/** A response as it goes over the wire. */
export function responseFrame(response: Parameters<typeof GenerateResponse.fromPartial>[0]): Buffer {
  return frame(GenerateResponse.encode(GenerateResponse.fromPartial(response)).finish());
}
