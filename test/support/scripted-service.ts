import { InferenceServiceDefinition } from "@polygraft/api";
import type { GenerateRequest, InferenceServiceImplementation } from "@polygraft/api";
import { createServer } from "nice-grpc";
import type { CallContext, ServiceImplementation } from "nice-grpc";
import { errorDetailsServerMiddleware } from "nice-grpc-error-details";
import type { CompatServiceDefinition } from "nice-grpc/lib/service-definitions/index.js";

type Responses = ReturnType<InferenceServiceImplementation["generate"]>;

/** A message of a scripted stream; what it leaves out has the default of the contract. */
export type Message = Responses extends { [Symbol.asyncIterator](): AsyncIterator<infer Part, void> } ? Part : never;

/** What a scripted service answers to one request. */
export type Script = (request: GenerateRequest, context: CallContext) => AsyncIterable<Message>;

/** A running server of a test. */
export interface TestServer {
  /** "127.0.0.1:port" */
  readonly address: string;
  /** Cuts all connections and stops. */
  close(): void;
}

/** Serves `Generate` by a script on a free port, over a real socket. */
export async function serveScript(generate: Script): Promise<TestServer> {
  return serve(InferenceServiceDefinition, { generate });
}

/** Serves any service on a free port, over a real socket. */
export async function serve<Service extends CompatServiceDefinition>(
  definition: Service,
  implementation: ServiceImplementation<Service>,
): Promise<TestServer> {
  const server = createServer().use(errorDetailsServerMiddleware);
  server.add(definition, implementation);
  const port = await server.listen("127.0.0.1:0");
  return { address: `127.0.0.1:${port}`, close: () => server.forceShutdown() };
}

/** A script that fails at once. */
export function refusal(error: Error): Script {
  return async function* () {
    yield* [];
    throw error;
  };
}

/** Says one token, then nothing until its call is over. */
export const stuck: Script = async function* ({ requestId }, { signal }) {
  yield accepted(requestId);
  yield delta("one ", 1);
  await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
};

/** A usual first event. */
export function accepted(requestId: string, worker = "worker-1"): Message {
  const accepted = { requestId, worker, model: "tiny", promptTokens: 3, seed: 7n };
  return { event: { $case: "accepted", value: accepted } };
}

/** A delta of one token for each text. */
export function delta(text: string, ...tokenIds: number[]): Message {
  return { event: { $case: "delta", value: { text, tokenIds, logprobs: [] } } };
}

/** A usual last event. */
export function finished(outputTokens: number): Message {
  const usage = { promptTokens: 3, cachedTokens: 1, outputTokens };
  const timings = { queueMicros: 1500, prefillMicros: 2000, decodeMicros: 3000 };
  return { event: { $case: "finished", value: { reason: 3, usage, timings } } };
}
