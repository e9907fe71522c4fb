/** The placement decision. */

import { Best } from "./best.js";
import { Bounds } from "./bounds.js";
import type { PlacementFleet, PlacementWorker } from "./fleet.js";
import { gapBelowOne, hash64 } from "./hash.js";
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

function placeByKey(
  fleet: PlacementFleet,
  key: string,
  request: PlacementRequest,
  policy: PlacementPolicy,
): Placement | undefined {
  const { workers, weights, hashHi } = fleet;
  const hash = hash64(key);
  const bounds = new Bounds(fleet, request, policy);
  const first = new Best();
  const within = new Best();
  const alive = new Best();
  const draining = new Best();
  for (let index = 0; index < workers.length; index++) {
    const weight = weights[index]!;
    const gap = gapBelowOne(hash, hashHi[index]!);
    // Behind the best that passes the bounds no other class matters, so nothing of this worker is read.
    if (within.beats(weight, gap)) continue;
    const worker = workers[index]!;
    const chosen = isExcluded(worker, request)
      ? first
      : worker.draining === true
        ? draining
        : bounds.admit(worker, weight)
          ? within
          : alive;
    if (chosen.beats(weight, gap) && first.beats(weight, gap)) continue;
    const value = score(fleet, index, hash);
    chosen.offer(index, value);
    first.offer(index, value);
  }
  if (within.index >= 0) return decision(fleet, within.index, within.index === first.index ? "preferred" : "spilled");
  if (alive.index >= 0) return decision(fleet, alive.index, "over-bound");
  return draining.index >= 0 ? decision(fleet, draining.index, "draining") : undefined;
}

function placeAnywhere(fleet: PlacementFleet, request: PlacementRequest): Placement | undefined {
  const { workers, weights, hashHi } = fleet;
  const hash = hash64(request.tieBreaker ?? "");
  let best = new Best();
  let bestLoad = 0;
  for (let index = 0; index < workers.length; index++) {
    const worker = workers[index]!;
    if (isExcluded(worker, request)) continue;
    const weight = weights[index]!;
    // A draining worker loses to any other, whatever the load.
    const load = worker.draining === true ? Number.POSITIVE_INFINITY : (worker.inFlightTokens ?? 0) / weight;
    if (best.index < 0 || load < bestLoad) {
      best = new Best();
      bestLoad = load;
    } else if (load !== bestLoad || best.beats(weight, gapBelowOne(hash, hashHi[index]!))) continue;
    best.offer(index, score(fleet, index, hash));
  }
  if (best.index < 0) return undefined;
  return decision(fleet, best.index, workers[best.index]!.draining === true ? "draining" : "least-loaded");
}

function isExcluded(worker: PlacementWorker, { excluded }: PlacementRequest): boolean {
  return excluded !== undefined && excluded.size > 0 && excluded.has(worker.name);
}

function decision(fleet: PlacementFleet, index: number, reason: PlacementReason): Placement {
  return { worker: fleet.workers[index]!.name, reason };
}
