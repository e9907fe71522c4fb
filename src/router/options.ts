import { hostname } from "node:os";
import { checkPolicy } from "@polygraft/placement";
import type { PlacementPolicy } from "@polygraft/placement";
import type { RouterCertificates } from "./certificates.js";
import { jsonLog } from "./log.js";
import type { Log } from "./log.js";
import { systemTimers } from "./timers.js";
import type { Timers } from "./timers.js";
import { defaultRelayOptions } from "./relay/http2-relay.js";
import type { RelayOptions } from "./relay/http2-relay.js";

/** How a router runs. */
export interface RouterOptions extends RouterCertificates {
  /** Where to listen, as "host:port"; port 0 takes a free one. Default: "127.0.0.1:50051". */
  readonly listen?: string;
  /**
   * Processes that share the address, each a router by itself; `runRouter` starts them. Bounds of streams, queue,
   * connections and held bytes are divided among them. Default: 1.
   */
  readonly processes?: number;
  /** With several processes: workers join each at a port of its own, counted from this one. Default: free ones. */
  readonly processPort?: number;
  /** Name of the router, which workers see. Default: the host's name. */
  readonly name?: string;
  /** File with one API key a line. Callers and workers must send one of them. Default: everybody is welcome. */
  readonly apiKeysFile?: string;
  /** How long the access tokens live that direct clients, and the router itself, show to workers, in seconds. Default: 60. */
  readonly tokenSeconds?: number;
  /** How long the key that signs them does so until another one takes its place, in hours: 0.01 to 500. Default: 24. */
  readonly signingKeyHours?: number;
  /** Most generations of one base model that run at once, however many sequences its workers can take. Default: 4096. */
  readonly maxStreams?: number;
  /** Most of them that wait for one of those places; what is more is refused with RESOURCE_EXHAUSTED. Default: 1024. */
  readonly maxQueue?: number;
  /** Calls in a row that end badly at a worker until it is left alone. Default: 5. */
  readonly breakerFailures?: number;
  /** For how long it is, in milliseconds, until one call may try it again. Default: 5000. */
  readonly breakerOpenMillis?: number;
  /** How long running streams may go on after the router was told to stop, in seconds. Default: 30. */
  readonly drainSeconds?: number;
  /** Longest silence between load samples that workers are told to keep, in milliseconds. Default: 1000. */
  readonly heartbeatMillis?: number;
  /** Silence after which a worker is suspected, in milliseconds. Default: three heartbeats. */
  readonly suspectAfterMillis?: number;
  /** Silence after which a worker is gone, in milliseconds. Default: fifteen heartbeats. */
  readonly goneAfterMillis?: number;
  /**
   * Time with requests in flight and no step after which a worker is suspected although it is heard of, in milliseconds.
   * Must be above its longest step. Default: ten heartbeats.
   */
  readonly wedgedAfterMillis?: number;
  /** Bounds of placement that differ from `defaultPolicy`. */
  readonly placement?: PlacementPolicy;
  /** Limits of the relay that differ from `defaultRelayOptions`. */
  readonly relay?: Partial<RelayOptions>;
  /** Default: JSON lines on standard error. */
  readonly log?: Log;
  /** Default: the real time. Tests move it by hand. */
  readonly timers?: Timers;
}

/** Options with their defaults filled in. */
export type ResolvedRouterOptions = Required<Omit<RouterOptions, "apiKeysFile" | "relay" | "processPort" | keyof RouterCertificates>> & {
  readonly certificates: RouterCertificates;
  readonly apiKeysFile: string | undefined;
  readonly processPort: number | undefined;
  readonly relay: RelayOptions;
};

/** More on one machine is a mistake. */
export const mostProcesses = 64;

/**
 * Fills in the defaults.
 *
 * @throws RangeError if a number is out of its range.
 */
export function resolveOptions(options: RouterOptions): ResolvedRouterOptions {
  const heartbeatMillis = options.heartbeatMillis ?? 1000;
  const resolved = {
    listen: options.listen ?? "127.0.0.1:50051",
    processes: options.processes ?? 1,
    processPort: options.processPort,
    name: options.name ?? hostname(),
    apiKeysFile: options.apiKeysFile,
    tokenSeconds: options.tokenSeconds ?? 60,
    signingKeyHours: options.signingKeyHours ?? 24,
    certificates: certificatesOf(options),
    maxStreams: options.maxStreams ?? 4096,
    maxQueue: options.maxQueue ?? 1024,
    breakerFailures: options.breakerFailures ?? 5,
    breakerOpenMillis: options.breakerOpenMillis ?? 5000,
    drainSeconds: options.drainSeconds ?? 30,
    heartbeatMillis,
    suspectAfterMillis: options.suspectAfterMillis ?? 3 * heartbeatMillis,
    goneAfterMillis: options.goneAfterMillis ?? 15 * heartbeatMillis,
    wedgedAfterMillis: options.wedgedAfterMillis ?? 10 * heartbeatMillis,
    placement: options.placement ?? {},
    relay: { ...defaultRelayOptions, ...options.relay },
    log: options.log ?? jsonLog((line) => process.stderr.write(line)),
    timers: options.timers ?? systemTimers,
  };
  checkPolicy(resolved.placement);
  integer("tokenSeconds", resolved.tokenSeconds, 1, 3600);
  // Node's timers end at 596 hours.
  if (!(resolved.signingKeyHours >= 0.01 && resolved.signingKeyHours <= 500)) {
    throw new RangeError(`signingKeyHours must be from 0.01 to 500, is ${resolved.signingKeyHours}`);
  }
  integer("processes", resolved.processes, 1, mostProcesses);
  if (resolved.processPort !== undefined) integer("processPort", resolved.processPort, 1, 65_536 - resolved.processes);
  positive("maxStreams", resolved.maxStreams);
  positive("breakerFailures", resolved.breakerFailures);
  positive("breakerOpenMillis", resolved.breakerOpenMillis);
  positive("heartbeatMillis", heartbeatMillis);
  positive("suspectAfterMillis", resolved.suspectAfterMillis);
  positive("goneAfterMillis", resolved.goneAfterMillis);
  if (!(resolved.maxQueue >= 0)) throw new RangeError(`maxQueue must not be below 0, is ${resolved.maxQueue}`);
  positive("wedgedAfterMillis", resolved.wedgedAfterMillis);
  if (!(resolved.drainSeconds >= 0)) throw new RangeError(`drainSeconds must not be below 0, is ${resolved.drainSeconds}`);
  return resolved;
}

function certificatesOf({ tlsCert, tlsKey, tlsClientCa, workerCa, workerTlsName }: RouterOptions): RouterCertificates {
  return { tlsCert, tlsKey, tlsClientCa, workerCa, workerTlsName };
}

function integer(name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new RangeError(`${name} must be an integer from ${least} to ${most}, is ${value}`);
}

function positive(name: string, value: number): void {
  if (!(value > 0)) throw new RangeError(`${name} must be above 0, is ${value}`);
}
