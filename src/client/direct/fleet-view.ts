import type { AdapterSighting, FleetWorker, FollowResponse, WatchFleetResponse } from "@polygraft/api";
import { CandidateFinder, ModelFleets } from "@polygraft/placement";
import type { AdapterPresence, CandidateSet, PlacementPolicy } from "@polygraft/placement";
import { DirectWorker } from "./worker.js";

/** Hears what calls that run have to know. */
export interface FleetViewListener {
  /** A worker is gone, or another process has its name. */
  left(worker: DirectWorker): void;
  /** A worker hangs, or its machine is gone. */
  suspected(worker: DirectWorker): void;
}

/**
 * The fleet as a router tells of it, and the candidates for a request among it: the same that the router would find. Where
 * there is more to say than who they are, such as that there is no such model, it is left to the router to say it.
 */
export class FleetView {
  readonly #listener: FleetViewListener;
  readonly #workers = new Map<string, DirectWorker>();
  readonly #models = new ModelFleets<DirectWorker>();
  readonly #sightings = new Map<string, AdapterPresence>();
  readonly #finder: CandidateFinder<DirectWorker>;
  /** Names in the snapshot that is coming in. */
  #snapshot: Set<string> | undefined;
  #complete = false;
  #policy: PlacementPolicy = {};
  #crowded = false;

  constructor(listener: FleetViewListener) {
    this.#listener = listener;
    this.#finder = new CandidateFinder({ models: () => this.#models.current, worker: (name) => this.#workers.get(name), modelOf });
  }

  /** How far a request may go from the first worker in its order of preference. */
  get policy(): PlacementPolicy {
    return this.#policy;
  }

  /** Whether requests wait at the router, and so should all. */
  get crowded(): boolean {
    return this.#crowded;
  }

  /** Whether the fleet, and that adapter if there is one, are known. */
  knows(adapter: string | undefined): boolean {
    return this.#complete && (adapter === undefined || this.#sightings.has(adapter));
  }

  worker(name: string): DirectWorker | undefined {
    return this.#workers.get(name);
  }

  /** Takes what a router says. Tokens are not the view's business. */
  apply({ message }: FollowResponse): void {
    switch (message?.$case) {
      case "rules":
        // The first message of a stream: what an earlier one said is over.
        this.#policy = message.value;
        this.#crowded = false;
        return;
      case "crowding":
        this.#crowded = message.value.crowded;
        return;
      case "fleet":
        return this.#applyFleet(message.value);
      case "sightings":
        for (const adapter of message.value.adapters) this.#sightings.set(adapter.id, presenceOf(adapter));
        return;
      case "token":
      case undefined: // of a newer router
    }
  }

  /** Nobody tells of that adapter any more. */
  forget(adapter: string): void {
    this.#sightings.delete(adapter);
  }

  /** The candidates for a model ("": whatever the fleet serves) and an adapter. Undefined: the router may know better. */
  find(model: string, adapter: string | undefined): CandidateSet<DirectWorker> | undefined {
    const presence = adapter === undefined ? undefined : this.#sightings.get(adapter);
    const name = model === "" ? this.#finder.onlyModel(presence) : model;
    const all = name === undefined ? undefined : this.#models.current.get(name);
    return all && this.#finder.among(all, adapter, presence, this.#policy);
  }

  #applyFleet({ snapshot, complete, workers, removedWorkers }: WatchFleetResponse): void {
    if (snapshot) this.#snapshot ??= new Set();
    for (const name of removedWorkers) this.#remove(name);
    for (const worker of workers) this.#set(worker);
    if (!complete) return;
    for (const name of this.#workers.keys()) if (this.#snapshot?.has(name) === false) this.#remove(name);
    this.#snapshot = undefined;
    this.#complete = true;
  }

  #set(said: FleetWorker): void {
    const { name = "" } = said.hello ?? {};
    this.#snapshot?.add(name);
    const known = this.#workers.get(name);
    if (known !== undefined && isSameProcess(known, said)) {
      const wasSuspected = known.suspected;
      if (known.update(said)) this.#models.set(modelOf(known), known);
      if (known.suspected && !wasSuspected) this.#listener.suspected(known);
      return;
    }
    this.#remove(name);
    const worker = new DirectWorker(said);
    worker.update(said);
    this.#workers.set(name, worker);
    this.#models.set(modelOf(worker), worker);
  }

  #remove(name: string): void {
    const worker = this.#workers.get(name);
    if (worker === undefined) return;
    this.#workers.delete(name);
    this.#models.remove(modelOf(worker), name);
    this.#listener.left(worker);
  }
}

/** Whether that is news of a worker that is known. Without an address it says nothing new of who it is. */
function isSameProcess(known: DirectWorker, { hello: said }: FleetWorker): boolean {
  if (said?.epoch !== known.hello.epoch) return false;
  return said.address === "" || (said.address === known.hello.address && said.model?.name === known.hello.model?.name);
}

function modelOf({ hello }: DirectWorker): string {
  return hello.model?.name ?? "";
}

function presenceOf({ rank, bytes, holders }: AdapterSighting): AdapterPresence {
  return {
    size: { rank, bytes: Number(bytes) },
    holders: new Set(holders.map(({ worker }) => worker)),
    resident: new Set(holders.filter(({ onDevice }) => onDevice).map(({ worker }) => worker)),
    references: new Map(holders.filter(({ references }) => references > 0).map(({ worker, references }) => [worker, references])),
  };
}
