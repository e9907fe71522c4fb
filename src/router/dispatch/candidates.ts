import type { AdapterRef } from "@polygraft/api";
import { namedAmong, rankUnitsOf, replicas } from "@polygraft/placement";
import type { PlacementFleet, PlacementPolicy } from "@polygraft/placement";
import { Status } from "nice-grpc";
import type { Catalog } from "../catalog/catalog.js";
import type { CatalogEntry } from "../catalog/entry.js";
import { invalidField } from "../failure.js";
import type { Failure } from "../failure.js";
import type { Fleet } from "../fleet/fleet.js";
import type { FleetMember } from "../fleet/member.js";
import { groupByModel } from "./live-fleet.js";
import type { MemberFleet } from "./live-fleet.js";

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

/** The holders of an adapter, prepared for one list of members. */
interface PreparedHolders {
  readonly members: readonly FleetMember[];
  /** By model; undefined where no worker of it holds the adapter. */
  readonly fleets: Map<string, MemberFleet | undefined>;
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
  /** Keyed by the list of members, which is a new one after each change. */
  readonly #byModel = new WeakMap<readonly FleetMember[], ReadonlyMap<string, MemberFleet>>();
  /** Keyed by the set of holders, likewise. */
  readonly #byHolders = new WeakMap<ReadonlySet<string>, PreparedHolders>();

  constructor(fleet: Fleet, catalog: Catalog, policy: PlacementPolicy = {}) {
    this.policy = policy;
    this.#fleet = fleet;
    this.#catalog = catalog;
  }

  /** The candidates for a model ("": whatever the fleet serves) and an adapter, or why there are none. */
  find(model: string, adapter: AdapterRef | undefined): CandidateSet | Failure {
    const { members } = this.#fleet.view;
    const models = this.#models(members);
    if (models.size === 0) return noWorker("no worker has joined this router yet");
    const entry = adapter === undefined ? undefined : this.#catalog.get(adapter.id);
    const name = model === "" ? onlyModel(models, members, entry?.holders ?? nobody) : model;
    if (typeof name !== "string") return name;
    const all = models.get(name);
    if (all === undefined) return modelNotFound(name, models);
    if (adapter === undefined || entry === undefined) return { fleet: all, resident: nobody, rankUnits: 0, replicas: 1 };
    const announced = adapter.id.includes("://") ? undefined : this.#announced(entry.holders, name, all, members);
    const fleet = announced ?? all;
    const rankUnits = rankUnitsOf(entry.size, fleet.unitBytes);
    return { fleet, resident: entry.resident, rankUnits, replicas: this.#replicas(fleet, entry) };
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

  #models(members: readonly FleetMember[]): ReadonlyMap<string, MemberFleet> {
    let models = this.#byModel.get(members);
    if (models === undefined) {
      models = groupByModel(members);
      this.#byModel.set(members, models);
    }
    return models;
  }

  #announced(
    holders: ReadonlySet<string>,
    model: string,
    all: MemberFleet,
    members: readonly FleetMember[],
  ): MemberFleet | undefined {
    let kept = this.#byHolders.get(holders);
    if (kept?.members !== members) {
      kept = { members, fleets: new Map() };
      this.#byHolders.set(holders, kept);
    }
    if (!kept.fleets.has(model)) kept.fleets.set(model, namedAmong(all, holders));
    return kept.fleets.get(model);
  }
}

/** Workers that could not be found, now. */
export function noWorker(message: string, metadata?: Readonly<Record<string, string>>): Failure {
  const failure: Failure = { status: Status.UNAVAILABLE, reason: "NO_WORKER", message, retryAfterMillis: 1000 };
  return metadata === undefined ? failure : { ...failure, metadata };
}

/** The model that a request without a model name means. */
function onlyModel(
  models: ReadonlyMap<string, MemberFleet>,
  members: readonly FleetMember[],
  holders: ReadonlySet<string>,
): string | Failure {
  const [first = ""] = models.keys();
  if (models.size === 1) return first;
  const served = members.filter(({ name }) => holders.has(name)).map(({ hello }) => hello.model?.name ?? "");
  const [announced] = new Set(served);
  if (announced !== undefined && served.every((name) => name === announced)) return announced;
  return invalidField("model", `the fleet serves several base models; name one of: ${list(models)}`);
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
