import { Tier, WorkerState } from "@polygraft/api";
import type { Adapter, AdapterRef } from "@polygraft/api";
import { tierOf } from "../catalog/entry.js";
import type { Fleet, FleetListener } from "../fleet/fleet.js";
import type { HoldingsChange } from "../fleet/holdings.js";
import type { FleetMember } from "../fleet/member.js";
import { Bequest } from "./bequest.js";
import type { Candidates } from "./candidates.js";
import { Legacy } from "./succession.js";

/**
 * Has adapters loaded where their requests will go before the requests go there. A worker that starts is told what will
 * be its own, and takes requests when it has that. One that is about to leave takes requests until the next owners of
 * its adapters have them; one that leaves at once has them told to load what it held, while its last streams still run.
 *
 * Whoever comes or goes meanwhile, and whatever is loaded, changes what goes where. So all that wait are looked at again
 * each time: a worker that starts is told what else will be its own, and one that leaves waits for the owners that there
 * are now.
 *
 * Who waits, and for how long, is the worker's affair: all routers see the same state of it, and place alike.
 */
export class HandOver implements FleetListener {
  readonly #fleet: Fleet;
  readonly #candidates: Candidates;
  /** What workers that start were told to load. */
  readonly #legacies = new Map<FleetMember, Legacy>();
  /** What workers that leave wait for. */
  readonly #bequests = new Map<FleetMember, Bequest>();

  constructor(fleet: Fleet, candidates: Candidates) {
    this.#fleet = fleet;
    this.#candidates = candidates;
  }

  changed(member: FleetMember): void {
    if (!member.warming) this.#legacies.delete(member);
    if (member.state === WorkerState.DRAINING) {
      this.#bequests.delete(member);
      // One that leaves at once, and will not wait.
      if (!member.leaving) new Bequest(member, this.#candidates).begin();
    }
    this.#review(member);
  }

  announced(member: FleetMember, { announced }: HoldingsChange): void {
    const arrived = announced.filter((adapter) => tierOf(adapter) === Tier.DEVICE);
    for (const bequest of this.#bequests.values()) bequest.arrived(member.name, arrived);
    this.#bequests.get(member)?.add(arrived);
    this.#release();
    this.#bequeath(member, arrived);
    if (!member.warming || member.leaving || this.#legacies.has(member)) return;
    const legacy = new Legacy(member, this.#candidates);
    this.#legacies.set(member, legacy);
    // Of nothing, too: it waits to be told.
    warmUp(member, legacy.grow(this.#fleet.view.members));
  }

  leaving(member: FleetMember): void {
    this.#legacies.delete(member);
    this.#bequests.set(member, new Bequest(member, this.#candidates).begin());
    this.#review(member);
  }

  left(member: FleetMember): void {
    this.#legacies.delete(member);
    this.#bequests.delete(member);
    this.#review(member);
  }

  /** That member takes requests where it did not, or will not where it did. */
  #review(member: FleetMember): void {
    this.#bequeath(member);
    for (const [leaver, bequest] of this.#bequests) this.#bequeath(leaver, bequest.review(member));
    this.#release();
  }

  /** Tells workers that start what they get of that member. `some`: of these adapters. Default: all. */
  #bequeath(member: FleetMember, some?: readonly Adapter[]): void {
    if (some?.length === 0) return;
    for (const [newcomer, legacy] of this.#legacies) {
      const more = legacy.grow([member], some);
      if (more.length > 0) warmUp(newcomer, more);
    }
  }

  /** Those that have nothing left to wait for. */
  #release(): void {
    for (const [leaver, { isOver }] of this.#bequests) {
      if (!isOver) continue;
      this.#bequests.delete(leaver);
      leaver.tell({ message: { $case: "handedOver", value: {} } });
    }
  }
}

function warmUp(newcomer: FleetMember, adapters: AdapterRef[]): void {
  newcomer.tell({ message: { $case: "warmUp", value: { adapters } } });
}
