/** The placement decision. */

import { Best } from "./best.js";
import { Bounds } from "./bounds.js";
import type { PlacementFleet } from "./fleet.js";
import { gapBelowOne, hash64 } from "./hash.js";
import { placeAnywhere } from "./least-loaded.js";
import { firstInOrder, positionInOrder } from "./order.js";
import type { PlacementPolicy } from "./policy.js";
import { score } from "./rendezvous.js";

/** What is to be placed. */
export interface PlacementRequest {
  /** What is hashed: the adapter's id and revision, or a routing key. Absent: no affinity, the least loaded worker wins. */
  readonly key?: string;
  /** Workers that share the key's requests, as `replicas` counts them. Default: 1. */
  readonly replicas?: number;
  /** Spreads requests without a key over workers of equal load: the id of the request. Default: "". */
  readonly tieBreaker?: string;
  /** Rank of the adapter, which needs that many rank units where it is not resident. Default: 0. */
  readonly rankUnits?: number;
  /** Names of workers where the adapter is on the device already. */
  readonly resident?: ReadonlySet<string>;
  /** Names of workers not to be chosen: those that this request has tried. */
  readonly excluded?: ReadonlySet<string>;
}

/** Why a worker was chosen. */
export type PlacementReason =
  /** It is the first in the key's preference list. */
  | "preferred"
  /** Those before it are over their load or slot bound, draining or excluded. */
  | "spilled"
  /** Every worker with a slot is over its load bound: the first in the list takes it, and its queue decides. */
  | "over-bound"
  /** No worker has a slot to spare: the first in the list takes it, and waits for one. */
  | "no-slot"
  /** No key: fewest in-flight tokens for its weight. */
  | "least-loaded"
  /** All others are excluded or gone, and it drains, or will. */
  | "draining";

/** A decision. */
export interface Placement {
  readonly worker: string;
  readonly reason: PlacementReason;
}

/** How a worker stands to a request. Of all but the last, the first that occurs at all decides. */
const standing = { within: 0, overLoad: 1, noSlot: 2, leaving: 3, draining: 4, excluded: 5 } as const;
type Standing = (typeof standing)[keyof typeof standing];

const fallbackReasons: readonly PlacementReason[] = ["spilled", "over-bound", "no-slot", "draining", "draining"];

/**
 * Chooses the worker for a request. The same inputs give the same answer on every router.
 *
 * One pass, as a rule: the first worker of the preference list that passes the bounds is the one with the highest score
 * among those that pass, so nothing is sorted and nothing that grows with the fleet is copied. Only where that is not
 * the first of all, and the fleet has zones or the key has replicas, the order is looked at more closely.
 *
 * @returns undefined if there is no worker that is not excluded.
 */
export function place(
  fleet: PlacementFleet,
  request: PlacementRequest,
  policy: PlacementPolicy = {},
): Placement | undefined {
  return request.key === undefined ? placeAnywhere(fleet, request) : placeByKey(fleet, request.key, request, policy);
}

function placeByKey(
  fleet: PlacementFleet,
  key: string,
  request: PlacementRequest,
  policy: PlacementPolicy,
): Placement | undefined {
  const { workers, weights, hashHi, zoneCount } = fleet;
  const { excluded, resident, replicas = 1 } = request;
  const hash = hash64(key);
  const bounds = new Bounds(fleet, request, policy);
  const bests = [new Best(), new Best(), new Best(), new Best(), new Best(), new Best()] as const;
  const [within] = bests;

  function standingOf(index: number): Standing {
    const worker = workers[index]!;
    if (excluded !== undefined && excluded.size > 0 && excluded.has(worker.name)) return standing.excluded;
    if (worker.draining === true) return standing.draining;
    // What it has not loaded it would soon pass on again, to whoever is loading it now.
    if (worker.leaving === true && resident?.has(worker.name) !== true) return standing.leaving;
    if (!bounds.slotFits(worker)) return standing.noSlot;
    return bounds.loadFits(worker, weights[index]!) ? standing.within : standing.overLoad;
  }

  for (let index = 0; index < workers.length; index++) {
    const weight = weights[index]!;
    const gap = gapBelowOne(hash, hashHi[index]!);
    // Behind the best that passes the bounds no other class matters, so nothing of this worker is read.
    if (within.beats(weight, gap)) continue;
    const best = bests[standingOf(index)]!;
    if (!best.beats(weight, gap)) best.offer(index, score(fleet, index, hash));
  }

  const isPreferred = within.index >= 0 && bests.every((best) => best === within || within.precedes(best));
  const isEasy = (index: number) => bounds.loadFitsEasily(workers[index]!, weights[index]!);
  if (replicas > 1 && !(isPreferred && isEasy(within.index))) {
    const easy = firstInOrder(fleet, hash, (index) => standingOf(index) === standing.within && isEasy(index));
    if (easy >= 0 && positionInOrder(fleet, hash, easy) < replicas) return decision(fleet, easy, "spilled");
  }
  if (isPreferred) return decision(fleet, within.index, "preferred");
  for (const [kind, reason] of fallbackReasons.entries()) {
    const best = bests[kind]!;
    if (best.index < 0) continue;
    const inTurns = zoneCount > 1 && kind < standing.leaving;
    const index = inTurns ? firstInOrder(fleet, hash, (other) => standingOf(other) === kind) : best.index;
    return decision(fleet, index, reason);
  }
  return undefined;
}

function decision(fleet: PlacementFleet, index: number, reason: PlacementReason): Placement {
  return { worker: fleet.workers[index]!.name, reason };
}
