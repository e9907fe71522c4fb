import { setMaxListeners } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AdapterServiceDefinition, DirectServiceDefinition, FleetServiceDefinition } from "@polygraft/api";
import type { AdapterServiceImplementation, DirectServiceImplementation, FleetServiceImplementation } from "@polygraft/api";
import { createServer, ServerError, Status } from "nice-grpc";
import type { ServerMiddleware } from "nice-grpc";
import { errorDetailsServerMiddleware } from "nice-grpc-error-details";
import { HealthDefinition, HealthServiceImpl } from "nice-grpc-server-health";
import type { HealthState } from "nice-grpc-server-health";
import { ServerReflectionService } from "nice-grpc-server-reflection";
import type { ApiKeys } from "../admission/api-keys.js";
import { serverError } from "../failure.js";
import type { Log } from "../log.js";
import { reflection } from "./reflection.js";
import { terminable } from "./terminable.js";
import type { Terminable } from "./terminable.js";
import { whileWelcome } from "./while-welcome.js";

/** The router's own services. */
export interface ControlServices {
  readonly adapters: AdapterServiceImplementation;
  readonly fleet: FleetServiceImplementation<Terminable>;
  readonly direct: DirectServiceImplementation<Terminable>;
  readonly health: HealthState;
}

/** The server of the router's own services. Only the relay reaches it. */
export interface ControlServer {
  /** "unix:/path" of a socket in a folder that only this user can open. */
  readonly address: string;
  /** Ends the calls that would not end by themselves. */
  stop(): void;
  /** Ends all calls and removes the socket. */
  close(): Promise<void>;
}

/** Starts the router's own services behind a Unix socket. With `apiKeys`, calls of keys that are withdrawn end. */
export async function startControlServer(services: ControlServices, log: Log, apiKeys?: ApiKeys): Promise<ControlServer> {
  const folder = await mkdtemp(join(tmpdir(), "polygraft-router-"));
  const address = `unix:${join(folder, "control.sock")}`;
  const stopping = new AbortController();
  setMaxListeners(0, stopping.signal);
  const server = createServer()
    .use(errorDetailsServerMiddleware)
    .use(reportBugs(log))
    .use(apiKeys === undefined ? pass : whileWelcome(apiKeys))
    .use(terminable(stopping.signal));
  server.add(AdapterServiceDefinition, services.adapters);
  server.add(FleetServiceDefinition, services.fleet);
  server.add(DirectServiceDefinition, services.direct);
  server.add(HealthDefinition, HealthServiceImpl(services.health));
  server.add(ServerReflectionService, await reflection());
  await server.listen(address);
  return {
    address,
    stop: () => stopping.abort(),
    async close() {
      server.forceShutdown();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Changes nothing. */
const pass: ServerMiddleware = (call, context) => call.next(call.request, context);

/** Turns what no handler should throw into INTERNAL, logged here with its stack and told the caller without it. */
function reportBugs(log: Log): ServerMiddleware {
  return async function* report(call, context) {
    try {
      return yield* call.next(call.request, context);
    } catch (error) {
      if (error instanceof ServerError || (error as Error).name === "AbortError") throw error;
      log.error("bug in a service", { path: call.method.path, stack: String((error as Error).stack) });
      throw serverError({ status: Status.INTERNAL, reason: "INTERNAL", message: `${call.method.path} failed; see the router's log` });
    }
  };
}
