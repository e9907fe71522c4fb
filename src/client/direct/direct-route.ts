import type { GenerateRequest } from "@polygraft/api";
import type { Context } from "@opentelemetry/api";
import { place, placementKey } from "@polygraft/placement";
import type { CandidateSet, Dispatched } from "@polygraft/placement";
import type { Leg } from "../attempt.js";
import type { PolygraftError } from "../error.js";
import { callMetadata } from "../metadata.js";
import type { Headers } from "../metadata.js";
import type { Transport } from "../transport.js";
import type { WorkerConnections } from "./connections.js";
import type { FleetView } from "./fleet-view.js";
import type { Follower } from "./follower.js";
import { requestTokens } from "./request-tokens.js";
import type { DirectWorker } from "./worker.js";

/** What routes share. */
export interface DirectParts {
  readonly view: FleetView;
  readonly follower: Follower;
  readonly connections: WorkerConnections;
}

/** An attempt at a worker. It ends when the call does, or when the worker is given up. */
export interface DirectLeg extends Leg {
  /** Its name. */
  readonly worker: string;
}

/** What has arrived of a stream. */
export interface Progress {
  /** How many tokens. */
  readonly tokens: number;
  /** Digest of the weights that they came from: only workers of these may go on. Undefined: any may. */
  readonly weights: string | undefined;
}

/** What holds for the whole call. */
export interface DirectCall {
  /** Milliseconds since the epoch; Infinity: none. */
  readonly deadline: number;
  readonly signal: AbortSignal;
  /** What to propagate to the worker. */
  readonly trace: Context;
}

/** What runs at a worker. */
interface Running {
  readonly worker: DirectWorker;
  readonly transport: Transport;
  readonly token: string;
  readonly share: Dispatched;
  readonly calledOff: AbortController;
}

/** Most workers that are tried for one request, one after another without output from any. As many as by a router. */
const maxAttempts = 3;

/** Longest wait for what has to be known before a request can be placed, in milliseconds. */
const readyMs = 1000;

/** How a call ends that another worker may serve: lost, or refused by a worker that says that it is the wrong one. */
const movable: ReadonlySet<string> = new Set([
  "UNAVAILABLE", "CANCELLED", "INCOMPLETE_STREAM", "WORKER_LOST", "DRAINING", "NO_WORKER", "QUEUE_FULL", "ADAPTER_MEMORY_FULL",
]); // prettier-ignore

/** Codes that a worker which works does not answer with. */
const worrying: ReadonlySet<string> = new Set(["INTERNAL", "UNKNOWN"]);

/** Such answers in a row after which a worker's requests go through the router for a while. */
const maxFailures = 5;

/** Whether a worker has not failed a request, but cannot be asked by this client. */
export function isOutOfReach({ code }: PolygraftError, heard: boolean): boolean {
  return code === "UNAUTHENTICATED" || (!heard && code === "UNAVAILABLE");
}

/** One request on its way along the preference list of its key, and off it: to the router. */
export class DirectRoute {
  readonly #request: GenerateRequest;
  readonly #headers: readonly (Headers | undefined)[];
  readonly #parts: DirectParts;
  readonly #end: () => void;
  /** Processes that were tried: a worker that has started anew since then may be tried again. */
  readonly #tried: DirectWorker[] = [];
  #attempts = 0;
  #tokensBefore = 0;
  #hadNewToken = false;
  /** The router takes it from here. */
  #relayed = false;
  #running: Running | undefined;

  constructor(request: GenerateRequest, headers: readonly (Headers | undefined)[], parts: DirectParts) {
    this.#request = request;
    this.#headers = headers;
    this.#parts = parts;
    this.#end = parts.follower.begin();
  }

  /** Where to send the request now that so much has arrived. Undefined: to a router. */
  async next(progress: Progress, call: DirectCall): Promise<DirectLeg | undefined> {
    this.#release();
    if (progress.tokens > this.#tokensBefore) this.#attempts = 0;
    this.#tokensBefore = progress.tokens;
    const leg = this.#relayed ? undefined : await this.#open(progress, call);
    this.#relayed = leg === undefined;
    return leg;
  }

  /** After a failure at a worker: whether to ask `next` at once, which is no retry. `heard`: the worker had answered. */
  movesOn(failure: PolygraftError, heard: boolean): boolean {
    const running = this.#running;
    this.#release();
    if (running === undefined) return false;
    const { follower, connections } = this.#parts;
    if (failure.code === "UNAUTHENTICATED" && !this.#hadNewToken) {
      follower.refused(running.token);
      return (this.#hadNewToken = true);
    }
    if (isOutOfReach(failure, heard)) {
      // Out of this client's reach, but perhaps not out of the router's: to go elsewhere would load the adapter anew.
      connections.failed(running.worker.address);
      return (this.#relayed = true);
    }
    // It answers, but badly. The router has a breaker, and knows how others fare there.
    if (worrying.has(failure.code) && running.worker.failed() >= maxFailures) connections.failed(running.worker.address);
    const { routing } = this.#request;
    if (!movable.has(failure.code) || routing?.failover === false || (routing?.worker ?? "") !== "") return false;
    this.#tried.push(running.worker);
    this.#attempts += 1;
    // What this client knows of the fleet is a moment old, and the worker says that it has changed. Routers know by now
    // who has the adapter.
    if (failure.code === "DRAINING" || this.#attempts >= maxAttempts) this.#relayed = true;
    return true;
  }

  /** The last event has arrived. */
  finished(): void {
    this.#running?.worker.succeeded();
  }

  /** The request is over. */
  end(): void {
    this.#release();
    this.#end();
  }

  async #open({ tokens, weights }: Progress, { deadline, signal, trace }: DirectCall): Promise<DirectLeg | undefined> {
    const { follower, connections, view } = this.#parts;
    const patience = Math.min(readyMs, (deadline - Date.now()) / 2);
    const isReady = await follower.ready(this.#request.adapter?.id, performance.now() + patience, signal);
    const worker = isReady ? this.#choose(weights) : undefined;
    // Whoever has to wait waits at a router, where priorities and fair shares count.
    if (worker === undefined || view.crowded || worker.draining || worker.full) return undefined;
    const share = worker.tally.dispatch(requestTokens(this.#request) - tokens);
    const transport = await connections.acquire(worker.address);
    const { token } = follower;
    // While the connection was made the worker may have begun to leave, or have left; what is at its address then is another
    // process, which has none of its adapters yet.
    const isStill = view.worker(worker.name) === worker && !worker.draining;
    if (transport === undefined || token === undefined || !isStill) {
      worker.tally.release(share);
      if (transport !== undefined) connections.release(transport);
      return undefined;
    }
    const calledOff = new AbortController();
    worker.running.add(calledOff);
    this.#running = { worker, transport, token, share, calledOff };
    // The caller's own key is the router's business.
    const metadata = callMetadata([...this.#headers, { authorization: `Bearer ${token}` }], trace);
    const leg = { worker: worker.name, transport, metadata, signal: AbortSignal.any([signal, calledOff.signal]) };
    return worker.weights === "" ? leg : { ...leg, weights: worker.weights };
  }

  #choose(weights: string | undefined): DirectWorker | undefined {
    const { view } = this.#parts;
    const { model, adapter, routing, requestId } = this.#request;
    if (routing !== undefined && routing.worker !== "") {
      const pinned = view.worker(routing.worker);
      return weights === undefined || pinned?.weights === weights ? pinned : undefined;
    }
    const found = view.find(model, adapter?.id);
    if (found === undefined) return undefined;
    const key = placementKey(routing?.key ?? "", adapter);
    // The load that replicas are counted by is the adapter's, not that of one routing key.
    const replicas = (routing?.key ?? "") === "" ? found.replicas : 1;
    const { fleet, resident, rankUnits } = found;
    const request = { tieBreaker: requestId, replicas, resident, rankUnits, excluded: this.#excluded(found, weights) };
    const placement = place(fleet, key === undefined ? request : { ...request, key }, view.policy);
    return placement && view.worker(placement.worker);
  }

  /** Processes that have been tried; and once there is output, workers whose weights would go on differently. */
  #excluded({ fleet }: CandidateSet<DirectWorker>, weights: string | undefined): ReadonlySet<string> {
    const excluded = new Set<string>();
    const { view } = this.#parts;
    for (const tried of this.#tried) if (view.worker(tried.name) === tried) excluded.add(tried.name);
    if (weights === undefined) return excluded;
    for (const worker of fleet.workers) if (worker.weights !== weights) excluded.add(worker.name);
    return excluded;
  }

  #release(): void {
    if (this.#running === undefined) return;
    const { worker, transport, share, calledOff } = this.#running;
    this.#running = undefined;
    worker.tally.release(share);
    worker.running.delete(calledOff);
    this.#parts.connections.release(transport);
  }
}
