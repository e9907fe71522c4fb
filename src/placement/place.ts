/** The placement decision. */

import type { PlacementFleet } from "./fleet.js";
import { hash64 } from "./hash.js";
import { score } from "./rendezvous.js";

/** What is to be placed. */
export interface PlacementRequest {
  /** What is hashed: the adapter's id and revision, or a routing key. Absent: no affinity, the least loaded worker wins. */
  readonly key?: string;
  /** Spreads requests without a key over workers of equal load: the id of the request. Default: "". */
  readonly tieBreaker?: string;
  /** Rank of the adapter, which needs that many rank units where it is not resident. Default: 0. */
  readonly rankUnits?: number;
  /** Names of workers where the adapter is on the device already. */
  readonly resident?: ReadonlySet<string>;
  /** Names of workers not to be chosen: those that this request has tried. */
  readonly excluded?: ReadonlySet<string>;
}

/** The bounds. */
export interface PlacementPolicy {
  /** A worker takes a key only below (1 + epsilon) times its fair share of the in-flight tokens. Default: 0.25. */
  readonly epsilon?: number;
  /** In-flight tokens up to which the load bound does not apply: an idle fleet should not spread one adapter. Default: 4096. */
  readonly floorTokens?: number;
}

/** Why a worker was chosen. */
export type PlacementReason =
  /** It is the first in the key's preference list. */
  | "preferred"
  /** Those before it are over their load or slot bound, draining or excluded. */
  | "spilled"
  /** Every worker is over a bound: the first in the list takes it, and its queue decides. */
  | "over-bound"
  /** No key: fewest in-flight tokens for its weight. */
  | "least-loaded"
  /** All others are excluded or gone, and it drains. */
  | "draining";

/** A decision. */
export interface Placement {
  readonly worker: string;
  readonly reason: PlacementReason;
}

export const DEFAULT_EPSILON = 0.25;
export const DEFAULT_FLOOR_TOKENS = 4096;

/**
 * Chooses the worker for a request. The same inputs give the same answer on every router.
 *
 * One pass: the first worker of the preference list that passes the bounds is the one with the highest score among
 * those that pass, so nothing is sorted and nothing that grows with the fleet is copied.
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

/** Best by score in one class of workers. */
interface Best {
  index: number;
  score: number;
}

const nobody = (): Best => ({ index: -1, score: Number.NEGATIVE_INFINITY });

function placeByKey(
  fleet: PlacementFleet,
  key: string,
  request: PlacementRequest,
  policy: PlacementPolicy,
): Placement | undefined {
  const hash = hash64(key);
  const floor = policy.floorTokens ?? DEFAULT_FLOOR_TOKENS;
  const capPerWeight = ((1 + (policy.epsilon ?? DEFAULT_EPSILON)) * fleet.totalTokens) / fleet.totalWeight;
  const first = nobody();
  const within = nobody();
  const alive = nobody();
  const draining = nobody();
  for (let index = 0; index < fleet.workers.length; index++) {
    const worker = fleet.workers[index]!;
    const value = score(fleet, index, hash);
    raise(first, index, value);
    if (request.excluded?.has(worker.name) === true) continue;
    if (worker.draining === true) {
      raise(draining, index, value);
      continue;
    }
    raise(alive, index, value);
    const load = worker.inFlightTokens ?? 0;
    const loadFits = load < floor || load < capPerWeight * (worker.weight ?? 1);
    const slotFits =
      request.resident?.has(worker.name) === true ||
      worker.freeRankUnits === undefined ||
      worker.freeRankUnits >= (request.rankUnits ?? 0);
    if (loadFits && slotFits) raise(within, index, value);
  }
  if (within.index >= 0) return decision(fleet, within, within.index === first.index ? "preferred" : "spilled");
  if (alive.index >= 0) return decision(fleet, alive, "over-bound");
  return draining.index >= 0 ? decision(fleet, draining, "draining") : undefined;
}

function placeAnywhere(fleet: PlacementFleet, request: PlacementRequest): Placement | undefined {
  const hash = hash64(request.tieBreaker ?? "");
  let best = -1;
  let bestLoad = 0;
  let bestScore = 0;
  for (let index = 0; index < fleet.workers.length; index++) {
    const worker = fleet.workers[index]!;
    if (request.excluded?.has(worker.name) === true) continue;
    // A draining worker loses to any other, whatever the load.
    const load =
      worker.draining === true ? Number.POSITIVE_INFINITY : (worker.inFlightTokens ?? 0) / (worker.weight ?? 1);
    const value = score(fleet, index, hash);
    if (best < 0 || load < bestLoad || (load === bestLoad && value > bestScore)) {
      best = index;
      bestLoad = load;
      bestScore = value;
    }
  }
  if (best < 0) return undefined;
  const worker = fleet.workers[best]!;
  return { worker: worker.name, reason: worker.draining === true ? "draining" : "least-loaded" };
}

/** Workers are visited in the order of their names, so `>` leaves ties with the smaller one. */
function raise(best: Best, index: number, value: number): void {
  if (value > best.score) {
    best.index = index;
    best.score = value;
  }
}

function decision(fleet: PlacementFleet, best: Best, reason: PlacementReason): Placement {
  return { worker: fleet.workers[best.index]!.name, reason };
}
