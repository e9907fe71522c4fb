import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import {
  AdapterServiceDefinition,
  InferenceServiceDefinition,
  type AdapterServiceImplementation,
  type InferenceServiceImplementation,
} from "@polygraft/api";
import type { CertificateFiles } from "@polygraft/tls";
import { createServer, type ServerMiddleware } from "nice-grpc";
import { errorDetailsServerMiddleware } from "nice-grpc-error-details";
import { HealthDefinition, HealthServiceImpl } from "nice-grpc-server-health";
import { ServerReflection, ServerReflectionService } from "nice-grpc-server-reflection";
import type { Gate } from "../access/gate.js";
import type { Log } from "../log.js";
import type { WorkerHealth } from "./health.js";
import { reportBugs } from "./report-bugs.js";
import { serverCredentials } from "./server-credentials.js";

/** What a worker serves. */
export interface WorkerServices {
  /** Who may call what is neither health nor reflection. The inference service asks it itself. */
  readonly gate: Gate;
  readonly inference: InferenceServiceImplementation;
  readonly adapters: AdapterServiceImplementation;
  readonly health: WorkerHealth;
}

/** A worker's gRPC server. */
export interface WorkerServer {
  /** Port that it listens on. */
  readonly port: number;
  /** Takes no new calls, and resolves when the running ones have ended. */
  shutdown(): Promise<void>;
  /** Ends all calls at once. */
  forceShutdown(): void;
}

/** Larger requests are refused with RESOURCE_EXHAUSTED before they are decoded. */
const MAX_REQUEST_BYTES = 4 * 1024 * 1024;

const { resolve } = createRequire(import.meta.url);

/** Starts a worker's server at "host:port", with TLS if there are certificates. Rejects if the address is taken. */
export async function startWorkerServer(
  address: string,
  services: WorkerServices,
  certificates: CertificateFiles | undefined,
  log: Log,
): Promise<WorkerServer> {
  const server = createServer({ "grpc.max_receive_message_length": MAX_REQUEST_BYTES })
    .use(errorDetailsServerMiddleware)
    .use(reportBugs(log));
  server.add(withoutCopies(InferenceServiceDefinition), services.inference);
  server.with(guard(services.gate)).add(AdapterServiceDefinition, services.adapters);
  server.add(HealthDefinition, HealthServiceImpl(services.health.state));
  const image = await readFile(resolve("@polygraft/api/polygraft.binpb"));
  const names = [InferenceServiceDefinition.fullName, AdapterServiceDefinition.fullName];
  server.add(ServerReflectionService, ServerReflection(image, names));
  const port = await server.listen(address, certificates && serverCredentials(certificates));
  return { port, shutdown: async () => server.shutdown(), forceShutdown: () => server.forceShutdown() };
}

/** Asks the gate first. Not for streams of tokens: each middleware is one more generator that every message goes through. */
function guard(gate: Gate): ServerMiddleware {
  return async function* admit(call, context) {
    await gate.admit(context.metadata);
    return yield* call.next(call.request, context);
  };
}

/**
 * The definition without `fromPartial` of its responses: the server would copy each event in depth before it encodes
 * it, and events are made whole here.
 */
function withoutCopies(definition: typeof InferenceServiceDefinition): typeof InferenceServiceDefinition {
  const { generate } = definition.methods;
  const { fromPartial: _, ...responseType } = generate.responseType;
  return { ...definition, methods: { generate: { ...generate, responseType } } } as unknown as typeof definition;
}
