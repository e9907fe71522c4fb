import type { AdapterSighting, FleetWorker, FollowResponse, WatchFleetResponse } from "@polygraft/api";
import { groupWorkers, liveFleet, namedAmong, rankUnitsOf, replicas } from "@polygraft/placement";
import type { LiveFleet, PlacementPolicy } from "@polygraft/placement";
import { DirectWorker } from "./worker.js";

/** Workers that could serve a request, ready for placement. */
export interface CandidateSet {
  readonly fleet: LiveFleet<DirectWorker>;
  /** Workers that have the adapter on the device. */
  readonly resident: ReadonlySet<string>;
  /** Rank units that the adapter takes on a device, as far as is known. */
  readonly rankUnits: number;
  /** Workers that the adapter's load fills. */
  readonly replicas: number;
}

/** Hears what calls that run have to know. */
export interface FleetViewListener {
  /** A worker is gone, or another process has its name. */
  left(worker: DirectWorker): void;
  /** A worker hangs, or its machine is gone. */
  suspected(worker: DirectWorker): void;
}

/** An adapter as the fleet has it. */
interface Sighting {
  readonly size: { readonly rank: number; readonly bytes: number };
  readonly holders: ReadonlySet<string>;
  readonly resident: ReadonlySet<string>;
  readonly references: ReadonlyMap<string, number>;
}

/** Workers of one base model. */
interface ModelFleet {
  readonly all: LiveFleet<DirectWorker>;
  /** Those that hold an adapter, by what was said of it. Undefined: none of this model. */
  readonly announced: WeakMap<Sighting, LiveFleet<DirectWorker> | undefined>;
}

const nobody: ReadonlySet<string> = new Set();

/**
 * The fleet as a router tells of it, and the candidates for a request among it: the same that the router would find. Where
 * there is more to say than who they are, such as that there is no such model, it is left to the router to say it.
 */
export class FleetView {
  readonly #listener: FleetViewListener;
  readonly #workers = new Map<string, DirectWorker>();
  readonly #sightings = new Map<string, Sighting>();
  #models: ReadonlyMap<string, ModelFleet> | undefined;
  /** Names in the snapshot that is coming in. */
  #snapshot: Set<string> | undefined;
  #complete = false;
  #policy: PlacementPolicy = {};
  #crowded = false;

  constructor(listener: FleetViewListener) {
    this.#listener = listener;
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
        for (const adapter of message.value.adapters) this.#sightings.set(adapter.id, toSighting(adapter));
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
  find(model: string, adapter: string | undefined): CandidateSet | undefined {
    const models = (this.#models ??= this.#groupByModel());
    const sighting = adapter === undefined ? undefined : this.#sightings.get(adapter);
    const name = model === "" ? this.#onlyModel(models, sighting?.holders ?? nobody) : model;
    const served = name === undefined ? undefined : models.get(name);
    if (served === undefined) return undefined;
    if (adapter === undefined || sighting === undefined || sighting.holders.size === 0) {
      return { fleet: served.all, resident: nobody, rankUnits: 0, replicas: 1 };
    }
    const announced = adapter.includes("://") ? undefined : holdersAmong(served, sighting);
    const fleet = announced ?? served.all;
    return {
      fleet,
      resident: sighting.resident,
      rankUnits: rankUnitsOf(sighting.size, fleet.unitBytes),
      replicas: this.#replicas(fleet, sighting),
    };
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
    const { name = "", epoch, address = "" } = said.hello ?? {};
    this.#snapshot?.add(name);
    const known = this.#workers.get(name);
    if (known !== undefined && known.hello.epoch === epoch && (address === "" || address === known.hello.address)) {
      const wasSuspected = known.suspected;
      if (known.update(said)) this.#models = undefined;
      if (known.suspected && !wasSuspected) this.#listener.suspected(known);
      return;
    }
    this.#remove(name);
    const worker = new DirectWorker(said);
    worker.update(said);
    this.#workers.set(name, worker);
    this.#models = undefined;
  }

  #remove(name: string): void {
    const worker = this.#workers.get(name);
    if (worker === undefined) return;
    this.#workers.delete(name);
    this.#models = undefined;
    this.#listener.left(worker);
  }

  #groupByModel(): ReadonlyMap<string, ModelFleet> {
    const sorted = [...this.#workers.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    const models = groupWorkers(sorted, modelOf);
    return new Map([...models].map(([model, workers]) => [model, { all: liveFleet(workers), announced: new WeakMap() }]));
  }

  /** The model that a request without a model name means: the only one, or that of all who hold its adapter. */
  #onlyModel(models: ReadonlyMap<string, ModelFleet>, holders: ReadonlySet<string>): string | undefined {
    const [first] = models.keys();
    if (models.size === 1) return first;
    const served = new Set<string>();
    for (const name of holders) {
      const worker = this.#workers.get(name);
      if (worker !== undefined) served.add(modelOf(worker));
    }
    const [only] = served;
    return served.size === 1 ? only : undefined;
  }

  #replicas(fleet: LiveFleet<DirectWorker>, { references, resident }: Sighting): number {
    let tokens = 0;
    for (const [worker, requests] of references) tokens += this.#workers.get(worker)?.tally.tokensOf(requests) ?? 0;
    return replicas(fleet, { tokens, held: resident.size }, this.#policy);
  }
}

function modelOf({ hello }: DirectWorker): string {
  return hello.model?.name ?? "";
}

function holdersAmong({ all, announced }: ModelFleet, sighting: Sighting): LiveFleet<DirectWorker> | undefined {
  if (!announced.has(sighting)) announced.set(sighting, namedAmong(all, sighting.holders));
  return announced.get(sighting);
}

function toSighting({ rank, bytes, holders }: AdapterSighting): Sighting {
  return {
    size: { rank, bytes: Number(bytes) },
    holders: new Set(holders.map(({ worker }) => worker)),
    resident: new Set(holders.filter(({ onDevice }) => onDevice).map(({ worker }) => worker)),
    references: new Map(holders.filter(({ references }) => references > 0).map(({ worker, references }) => [worker, references])),
  };
}
