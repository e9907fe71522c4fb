import { FinishReason, GenerateRequest, GenerateResponse, InferenceServiceDefinition } from "@polygraft/api";
import { Metadata, Server, ServerCredentials, status as StatusCode } from "@grpc/grpc-js";
import type { ServerWritableStream } from "@grpc/grpc-js";
import { PolygraftError, statusNames } from "../error.js";
import { method } from "../transport.js";
import { statusMetadata } from "./status-metadata.js";

/**
 * What a test server answers to one request: pieces of text, each sent as a delta of one token. Wait in it for delays, and
 * throw a `PolygraftError` in it for failures. The signal is aborted when the caller cancels or its deadline passes.
 */
export type Reply = (request: GenerateRequest, signal: AbortSignal) => Iterable<string> | AsyncIterable<string>;

const generate = method<GenerateRequest, GenerateResponse>(
  InferenceServiceDefinition,
  InferenceServiceDefinition.methods.generate,
);

/**
 * A gRPC server on a free port of 127.0.0.1 that serves `Generate` by a script, for tests of programs that use the SDK.
 *
 * @example
 * await using server = await TestServer.start(function* () {
 *   yield "Hel";
 *   yield "lo";
 * });
 * const client = new Polygraft({ address: server.address });
 */
export class TestServer implements AsyncDisposable {
  /** "127.0.0.1:port" */
  readonly address: string;
  /** The requests that came, in their order. */
  readonly requests: readonly GenerateRequest[];
  readonly #server: Server;

  private constructor(address: string, requests: readonly GenerateRequest[], server: Server) {
    this.address = address;
    this.requests = requests;
    this.#server = server;
  }

  /** Starts one. */
  static async start(reply: Reply): Promise<TestServer> {
    const requests: GenerateRequest[] = [];
    const server = new Server();
    const definition = {
      path: generate.path,
      requestStream: false,
      responseStream: true,
      requestSerialize: (message: GenerateRequest) => Buffer.from(GenerateRequest.encode(message).finish()),
      requestDeserialize: (bytes: Buffer) => GenerateRequest.decode(bytes),
      responseSerialize: (message: GenerateResponse) => Buffer.from(GenerateResponse.encode(message).finish()),
      responseDeserialize: (bytes: Buffer) => GenerateResponse.decode(bytes),
    };
    server.addService(
      { generate: definition },
      {
        generate(call: ServerWritableStream<GenerateRequest, GenerateResponse>) {
          requests.push(call.request);
          void play(call, reply);
        },
      },
    );
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => {
        if (error === null) resolve(bound);
        else reject(error);
      });
    });
    return new TestServer(`127.0.0.1:${port}`, requests, server);
  }

  /** Cuts all streams and stops. */
  close(): void {
    this.#server.forceShutdown();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

async function play(call: ServerWritableStream<GenerateRequest, GenerateResponse>, reply: Reply): Promise<void> {
  const controller = new AbortController();
  call.on("cancelled", () => controller.abort());
  try {
    const { requestId, adapter } = call.request;
    const identity = adapter === undefined ? undefined : { ...adapter, digest: adapter.digest || `sha256:${"0".repeat(64)}` };
    await send(call, { $case: "accepted", value: { requestId, worker: "test-server", model: "test", adapter: identity } });
    let tokens = 0;
    for await (const text of reply(call.request, controller.signal)) {
      tokens += 1;
      await send(call, { $case: "delta", value: { text, tokenIds: [tokens], logprobs: [] } });
    }
    const usage = { promptTokens: 0, cachedTokens: 0, outputTokens: tokens };
    await send(call, { $case: "finished", value: { reason: FinishReason.STOP_TOKEN, usage } });
    call.end();
  } catch (error) {
    call.emit("error", toStatus(error));
  }
}

type Event = NonNullable<Parameters<typeof GenerateResponse.fromPartial>[0]["event"]>;

/** Sends an event, and waits while the caller is behind. */
async function send(call: ServerWritableStream<GenerateRequest, GenerateResponse>, event: Event): Promise<void> {
  if (call.cancelled || call.write(GenerateResponse.fromPartial({ event }))) return;
  await new Promise<void>((resolve) => {
    call.once("drain", resolve);
    call.once("cancelled", resolve);
  });
}

function toStatus(error: unknown): { code: number; details: string; metadata: Metadata } {
  if (error instanceof PolygraftError) {
    return { code: statusNames.indexOf(error.status), details: error.message, metadata: statusMetadata(error) };
  }
  const details = `the reply of the test server failed: ${error instanceof Error ? error.message : String(error)}`;
  return { code: StatusCode.UNKNOWN, details, metadata: new Metadata() };
}
