import { Tier, WorkerState } from "@polygraft/api";
import { adapterKey } from "@polygraft/placement";
import { tierOf } from "../catalog/entry.js";
import type { Fleet, FleetListener } from "../fleet/fleet.js";
import type { HoldingsChange } from "../fleet/holdings.js";
import type { FleetMember } from "../fleet/member.js";
import type { Candidates } from "./candidates.js";
import { heirsOf, legacyOf } from "./succession.js";

/**
 * Has adapters loaded where their requests will go before the requests go there. A worker that starts is told what will
 * be its own, and takes requests when it has that. One that is about to leave takes requests until the next owners of
 * its adapters have them; one that leaves at once has them told to load what it held, while its last streams still run.
 *
 * Who waits, and for how long, is the worker's affair: all routers see the same state of it, and place alike.
 */
export class HandOver implements FleetListener {
  readonly #fleet: Fleet;
  readonly #candidates: Candidates;
  readonly #asked = new WeakSet<FleetMember>();
  /** What workers that leave wait for, by worker and adapter. */
  readonly #awaited = new Map<FleetMember, Set<string>>();

  constructor(fleet: Fleet, candidates: Candidates) {
    this.#fleet = fleet;
    this.#candidates = candidates;
  }

  changed(member: FleetMember): void {
    if (member.state !== WorkerState.DRAINING) return;
    if (!member.leaving) this.#passOn(member);
    this.#cannot(member);
  }

  announced(member: FleetMember, { announced }: HoldingsChange): void {
    if (member.warming && !this.#asked.has(member)) {
      this.#asked.add(member);
      const others = this.#fleet.view.members.filter((other) => other !== member);
      const adapters = legacyOf(member, others, this.#candidates);
      member.tell({ message: { $case: "warmUp", value: { adapters } } });
    }
    if (this.#awaited.size === 0) return;
    for (const adapter of announced) {
      if (adapter.identity !== undefined && tierOf(adapter) === Tier.DEVICE) this.#arrived(placeOf(member.name, adapter.identity));
    }
  }

  leaving(member: FleetMember): void {
    this.#cannot(member);
    this.#awaited.set(member, new Set(this.#passOn(member)));
    this.#arrived();
  }

  left(member: FleetMember): void {
    this.#awaited.delete(member);
    this.#cannot(member);
  }

  /** Tells the next owners of all that a worker holds. Returns where what is expected. */
  #passOn(leaver: FleetMember): string[] {
    return heirsOf(leaver, this.#candidates).map(({ adapter, worker }) => {
      this.#candidates.member(worker)?.tell({ message: { $case: "prefetch", value: { adapter, tier: Tier.DEVICE } } });
      return placeOf(worker, adapter);
    });
  }

  /** Nobody need wait for a worker that will not be there. */
  #cannot({ name }: FleetMember): void {
    for (const awaited of this.#awaited.values()) {
      for (const place of awaited) if (place.startsWith(placeOf(name))) awaited.delete(place);
    }
    this.#arrived();
  }

  #arrived(place?: string): void {
    for (const [leaver, awaited] of this.#awaited) {
      if (place !== undefined) awaited.delete(place);
      if (awaited.size > 0) continue;
      this.#awaited.delete(leaver);
      leaver.tell({ message: { $case: "handedOver", value: {} } });
    }
  }
}

/** Names of workers hold no line break. */
function placeOf(worker: string, adapter?: { readonly id: string; readonly revision: string }): string {
  return `${worker}\n${adapter === undefined ? "" : adapterKey(adapter)}`;
}
