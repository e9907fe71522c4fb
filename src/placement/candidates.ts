/** Which workers could serve a request for an adapter, out of all that are known. */

import { namedAmong } from "./live-fleet.js";
import type { LiveFleet, LiveWorker } from "./live-fleet.js";
import type { PlacementPolicy } from "./policy.js";
import { rankUnitsOf } from "./rank-units.js";
import type { AdapterSize } from "./rank-units.js";
import { replicas } from "./replicas.js";

/** A worker whose load can be told apart by request. */
export interface CandidateWorker extends LiveWorker {
  readonly tally: {
    /** About how many of its tokens in flight are those of so many of its requests. */
    tokensOf(requests: number): number;
  };
}

/** A fleet as whoever decides knows it. */
export interface KnownFleet<Worker extends CandidateWorker> {
  /** Its workers by base model, prepared; none is empty. What has changed is another object. */
  models(): ReadonlyMap<string, LiveFleet<Worker>>;
  worker(name: string): Worker | undefined;
  /** The base model that a worker serves. */
  modelOf(worker: Worker): string;
}

/** An adapter as a fleet has it, all revisions together, by the names of workers. What has changed is another object. */
export interface AdapterPresence {
  readonly size: AdapterSize;
  /** Who knows it. */
  readonly holders: ReadonlySet<string>;
  /** Who has it on the device. */
  readonly resident: ReadonlySet<string>;
  /** How many requests use it, where any do. */
  readonly references: ReadonlyMap<string, number>;
}

/** Workers that could serve a request, ready for placement. */
export interface CandidateSet<Worker extends CandidateWorker = CandidateWorker> {
  readonly fleet: LiveFleet<Worker>;
  /** Workers that have the adapter on the device. */
  readonly resident: ReadonlySet<string>;
  /** Rank units that the adapter takes on a device, as far as is known. */
  readonly rankUnits: number;
  /** Workers that the adapter's load fills: the first so many in its order of preference share its requests. */
  readonly replicas: number;
}

const nobody: ReadonlySet<string> = new Set();

/**
 * Finds the workers that could serve a request: those of its base model that have announced its adapter. If none has,
 * or if the adapter names a source that any worker could fetch ("hf://…"), all workers of the model.
 *
 * Whoever has the same view of the fleet finds the same. Prepared sets are kept until the workers, or the adapter's holders,
 * change: a decision builds nothing.
 */
export class CandidateFinder<Worker extends CandidateWorker> {
  readonly #fleet: KnownFleet<Worker>;
  /** Of a model's workers those that hold an adapter. Undefined: none does. */
  readonly #announced = new WeakMap<LiveFleet<Worker>, WeakMap<ReadonlySet<string>, LiveFleet<Worker> | undefined>>();

  constructor(fleet: KnownFleet<Worker>) {
    this.#fleet = fleet;
  }

  /**
   * The base model that a request without a model name means: the only one, or that of all who hold its adapter.
   * Undefined: it could be any of several, or there is none.
   */
  onlyModel(presence: AdapterPresence | undefined): string | undefined {
    const models = this.#fleet.models();
    const [first] = models.keys();
    if (models.size <= 1) return first;
    const served = new Set<string>();
    for (const name of presence?.holders ?? nobody) {
      const worker = this.#fleet.worker(name);
      if (worker !== undefined) served.add(this.#fleet.modelOf(worker));
    }
    const [only] = served;
    return served.size === 1 ? only : undefined;
  }

  /**
   * The candidates among the workers of a model.
   *
   * @param adapter its id. Undefined: the base is asked for.
   * @param presence what is known of the adapter. Undefined: nobody has announced it.
   */
  among(
    all: LiveFleet<Worker>,
    adapter: string | undefined,
    presence: AdapterPresence | undefined,
    policy: PlacementPolicy,
  ): CandidateSet<Worker> {
    if (adapter === undefined || presence === undefined) return { fleet: all, resident: nobody, rankUnits: 0, replicas: 1 };
    const announced = adapter.includes("://") ? undefined : this.#holdersAmong(all, presence.holders);
    const fleet = announced ?? all;
    const load = { tokens: this.#tokensOf(presence), held: presence.resident.size };
    return {
      fleet,
      resident: presence.resident,
      rankUnits: rankUnitsOf(presence.size, fleet.unitBytes),
      replicas: replicas(fleet, load, policy),
    };
  }

  /** Tokens in flight of the adapter's requests. */
  #tokensOf({ references }: AdapterPresence): number {
    let tokens = 0;
    for (const [name, requests] of references) tokens += this.#fleet.worker(name)?.tally.tokensOf(requests) ?? 0;
    return tokens;
  }

  #holdersAmong(all: LiveFleet<Worker>, holders: ReadonlySet<string>): LiveFleet<Worker> | undefined {
    let byHolders = this.#announced.get(all);
    if (byHolders === undefined) this.#announced.set(all, (byHolders = new WeakMap()));
    if (!byHolders.has(holders)) byHolders.set(holders, namedAmong(all, holders));
    return byHolders.get(holders);
  }
}
