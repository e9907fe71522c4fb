import { FleetServiceDefinition, WorkerState as ProtoState } from "@polygraft/api";
import type { FleetWorker as ProtoWorker, LoadSample, ModelInfo, WatchFleetResponse } from "@polygraft/api";
import { fromProto } from "./adapters.js";
import type { Adapter } from "./adapters.js";
import type { Calls } from "./calls.js";
import type { CallOptions } from "./options.js";
import { method } from "./transport.js";

/** A fleet as its router sees it. */
export interface FleetState {
  /** Grows with every change that the router sees. */
  readonly version: bigint;
  /** In the order of their names. */
  readonly workers: readonly FleetWorker[];
}

/** A worker as its router sees it. */
export interface FleetWorker {
  readonly name: string;
  /** "host:port" */
  readonly address: string;
  readonly state: WorkerState;
  /** The base model it serves. Absent if it did not say. */
  readonly model: ModelInfo | undefined;
  /** Failure domain. Empty: none. */
  readonly zone: string;
  /** Version of polygraft. */
  readonly version: string;
  /** Its last load sample; absent fields are unknown, not 0. */
  readonly load: LoadSample | undefined;
  /** What it holds, if asked for. */
  readonly adapters: readonly Adapter[];
}

/** How a worker is. */
export type WorkerState = "ready" | "warming" | "draining" | "suspected" | "unknown";

/** What to watch. */
export interface WatchFleetOptions extends CallOptions {
  /** Includes what each worker holds. Default: false. */
  readonly residency?: boolean;
}

const watch = method(FleetServiceDefinition, FleetServiceDefinition.methods.watchFleet);

const states: Readonly<Record<number, WorkerState>> = {
  [ProtoState.READY]: "ready",
  [ProtoState.WARMING]: "warming",
  [ProtoState.DRAINING]: "draining",
  [ProtoState.SUSPECTED]: "suspected",
};

/** The fleet behind a router. */
export class Fleet {
  readonly #calls: Calls;

  /** Made by `Polygraft`. */
  constructor(calls: Calls) {
    this.#calls = calls;
  }

  /**
   * The whole fleet now, and again after every change, until the iteration is left. It has no deadline unless
   * `timeoutMs` is given.
   */
  async *watch({ residency = false, ...options }: WatchFleetOptions = {}): AsyncGenerator<FleetState, void> {
    let workers = new Map<string, FleetWorker>();
    let begun = false;
    for await (const change of this.#calls.serverStream(watch, { residency }, { timeoutMs: 0, ...options })) {
      if (change.snapshot && !begun) workers = new Map();
      begun = change.snapshot && !change.complete;
      apply(workers, change);
      if (!change.complete) continue;
      const sorted = [...workers.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
      yield { version: change.version, workers: sorted };
    }
  }
}

function apply(workers: Map<string, FleetWorker>, change: WatchFleetResponse): void {
  for (const name of change.removedWorkers) workers.delete(name);
  for (const worker of change.workers) workers.set(worker.hello?.name ?? "", fromProtoWorker(worker));
}

function fromProtoWorker({ hello, state, load, adapters }: ProtoWorker): FleetWorker {
  return {
    name: hello?.name ?? "",
    address: hello?.address ?? "",
    state: states[state] ?? "unknown",
    model: hello?.model,
    zone: hello?.zone ?? "",
    version: hello?.version ?? "",
    load,
    adapters: adapters.map(fromProto),
  };
}
