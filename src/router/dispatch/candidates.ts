import type { AdapterRef } from "@polygraft/api";
import { namedAmong, rankUnitsOf, replicas } from "@polygraft/placement";
import type { PlacementFleet, PlacementPolicy } from "@polygraft/placement";
import { Status } from "nice-grpc";
import type { Catalog } from "../catalog/catalog.js";
import type { CatalogEntry } from "../catalog/entry.js";
import { invalidField } from "../failure.js";
import type { Failure } from "../failure.js";
import type { Fleet } from "../fleet/fleet.js";
import type { FleetMember, MemberFleet } from "../fleet/member.js";

/** Workers that could serve a request, ready for placement. */
export interface CandidateSet {
  readonly fleet: MemberFleet;
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
 * Prepared sets are kept until the workers, or the adapter's holders, change: a decision builds nothing.
 */
export class Candidates {
  /** How far a request may go from the first worker in its order of preference. */
  readonly policy: PlacementPolicy;
  readonly #fleet: Fleet;
  readonly #catalog: Catalog;
  /** Of a model's workers those that hold an adapter; both keys are others after a change. Undefined: none does. */
  readonly #announced = new WeakMap<MemberFleet, WeakMap<ReadonlySet<string>, MemberFleet | undefined>>();

  constructor(fleet: Fleet, catalog: Catalog, policy: PlacementPolicy = {}) {
    this.policy = policy;
    this.#fleet = fleet;
    this.#catalog = catalog;
  }

  /** The candidates for a model ("": whatever the fleet serves) and an adapter, or why there are none. */
  find(model: string, adapter: AdapterRef | undefined): CandidateSet | Failure {
    const name = this.model(model, adapter);
    if (typeof name !== "string") return name;
    const all = this.#fleet.models.get(name)!;
    const entry = adapter === undefined ? undefined : this.#catalog.get(adapter.id);
    if (adapter === undefined || entry === undefined) return { fleet: all, resident: nobody, rankUnits: 0, replicas: 1 };
    const announced = adapter.id.includes("://") ? undefined : this.#holdersAmong(all, entry.holders);
    const fleet = announced ?? all;
    const rankUnits = rankUnitsOf(entry.size, fleet.unitBytes);
    return { fleet, resident: entry.resident, rankUnits, replicas: this.#replicas(fleet, entry) };
  }

  /** The base model that is meant ("": whatever the fleet serves), or why no worker serves it. */
  model(model: string, adapter: AdapterRef | undefined): string | Failure {
    const { models } = this.#fleet;
    if (models.size === 0) return noWorker("no worker has joined this router yet");
    if (model !== "") return models.has(model) ? model : modelNotFound(model, models);
    return this.#onlyModel(models, adapter === undefined ? nobody : (this.#catalog.get(adapter.id)?.holders ?? nobody));
  }

  /** The member of that name, whatever it serves. */
  member(name: string): FleetMember | undefined {
    return this.#fleet.member(name);
  }

  #replicas(fleet: PlacementFleet, entry: CatalogEntry): number {
    let tokens = 0;
    for (const [worker, requests] of entry.references) tokens += this.#fleet.member(worker)?.tally.tokensOf(requests) ?? 0;
    return replicas(fleet, { tokens, held: entry.resident.size }, this.policy);
  }

  #holdersAmong(all: MemberFleet, holders: ReadonlySet<string>): MemberFleet | undefined {
    let byHolders = this.#announced.get(all);
    if (byHolders === undefined) this.#announced.set(all, (byHolders = new WeakMap()));
    if (!byHolders.has(holders)) byHolders.set(holders, namedAmong(all, holders));
    return byHolders.get(holders);
  }

  /** The model that a request without a model name means. */
  #onlyModel(models: ReadonlyMap<string, MemberFleet>, holders: ReadonlySet<string>): string | Failure {
    const [first = ""] = models.keys();
    if (models.size === 1) return first;
    const served = new Set<string>();
    for (const name of holders) {
      const member = this.#fleet.member(name);
      if (member !== undefined) served.add(member.hello.model?.name ?? "");
    }
    const [only] = served;
    if (only !== undefined && served.size === 1) return only;
    return invalidField("model", `the fleet serves several base models; name one of: ${list(models)}`);
  }
}

/** Workers that could not be found, now. */
export function noWorker(message: string, metadata?: Readonly<Record<string, string>>): Failure {
  const failure: Failure = { status: Status.UNAVAILABLE, reason: "NO_WORKER", message, retryAfterMillis: 1000 };
  return metadata === undefined ? failure : { ...failure, metadata };
}

function modelNotFound(name: string, models: ReadonlyMap<string, unknown>): Failure {
  return {
    status: Status.NOT_FOUND,
    reason: "MODEL_NOT_FOUND",
    message: `no worker serves a base model named ${JSON.stringify(name.slice(0, 128))}; there is: ${list(models)}`,
  };
}

function list(models: ReadonlyMap<string, unknown>): string {
  return [...models.keys()].sort().slice(0, 16).join(", ");
}
