import type { AdapterRef } from "@polygraft/api";
import { CandidateFinder } from "@polygraft/placement";
import type { CandidateSet, PlacementPolicy } from "@polygraft/placement";
import { Status } from "nice-grpc";
import type { Catalog } from "../catalog/catalog.js";
import type { CatalogEntry } from "../catalog/entry.js";
import { invalidField } from "../failure.js";
import type { Failure } from "../failure.js";
import type { Fleet } from "../fleet/fleet.js";
import type { FleetMember } from "../fleet/member.js";

/** The workers of this router that could serve a request, or why there are none. */
export class Candidates {
  /** How far a request may go from the first worker in its order of preference. */
  readonly policy: PlacementPolicy;
  readonly #fleet: Fleet;
  readonly #catalog: Catalog;
  readonly #finder: CandidateFinder<FleetMember>;

  constructor(fleet: Fleet, catalog: Catalog, policy: PlacementPolicy = {}) {
    this.policy = policy;
    this.#fleet = fleet;
    this.#catalog = catalog;
    this.#finder = new CandidateFinder({
      models: () => fleet.models,
      worker: (name) => fleet.member(name),
      modelOf: ({ hello }) => hello.model?.name ?? "",
    });
  }

  /** The candidates for a model ("": whatever the fleet serves) and an adapter, or why there are none. */
  find(model: string, adapter: AdapterRef | undefined): CandidateSet<FleetMember> | Failure {
    const name = this.model(model, adapter);
    if (typeof name !== "string") return name;
    return this.#finder.among(this.#fleet.models.get(name)!, adapter?.id, this.#entry(adapter), this.policy);
  }

  /** The base model that is meant ("": whatever the fleet serves), or why no worker serves it. */
  model(model: string, adapter: AdapterRef | undefined): string | Failure {
    const { models } = this.#fleet;
    if (models.size === 0) return noWorker("no worker has joined this router yet");
    if (model !== "") return models.has(model) ? model : modelNotFound(model, models);
    const only = this.#finder.onlyModel(this.#entry(adapter));
    return only ?? invalidField("model", `the fleet serves several base models; name one of: ${list(models)}`);
  }

  /** The member of that name, whatever it serves. */
  member(name: string): FleetMember | undefined {
    return this.#fleet.member(name);
  }

  #entry(adapter: AdapterRef | undefined): CatalogEntry | undefined {
    return adapter && this.#catalog.get(adapter.id);
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
