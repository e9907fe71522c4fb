/** The fleet as placement sees it: prepared once per change, read by every decision, never written. */

import { changePrepared, noWorkers } from "./prepared.js";
import type { PreparedWorkers } from "./prepared.js";
import type { AdapterRoom } from "./rank-units.js";
import type { Hash64 } from "./hash.js";

/** A worker that could serve. */
export interface PlacementWorker {
  /** Stable name: it is what is hashed, so a restarted worker keeps its adapters. */
  readonly name: string;
  /** `hash64` of the name, kept by callers that prepare fleets often. Default: computed. */
  readonly nameHash?: Hash64;
  /** Share of the work it should get, above 0. Default: 1. */
  readonly weight?: number;
  /** Failure domain: a key's next worker is of another one where there is one. Default: "". */
  readonly zone?: string;
  /** Takes nothing new while another worker lives. Default: false. */
  readonly draining?: boolean;
  /** Will drain: takes only keys whose adapter it has on the device while another worker lives. Default: false. */
  readonly leaving?: boolean;
  /** Tokens of running and waiting requests. Absent: unknown, read as 0. */
  readonly inFlightTokens?: number;
  /**
   * Has as many requests as it runs at once: a further one would wait, so the floor of the load bound does not hold for
   * it. Default: false.
   */
  readonly full?: boolean;
  /** What it has for adapters. Default: unknown. */
  readonly adapterRoom?: AdapterRoom;
  /** Rank units that an unpinned, unreferenced slot could give. Absent: unknown, read as enough. */
  readonly freeRankUnits?: number;
}

/** Workers in the order of their names, with their hashes and weights. Immutable. */
export interface PlacementFleet extends PreparedWorkers {
  /** In-flight tokens of all workers that do not drain. */
  readonly totalTokens: number;
}

/**
 * Prepares a fleet. Sorting by name makes ties, and so decisions, the same on every router whatever the order in which
 * workers joined.
 *
 * @throws RangeError if a name occurs twice or a weight is not above 0.
 */
export function prepareFleet(workers: Iterable<PlacementWorker>): PlacementFleet {
  const prepared = changePrepared<PlacementWorker>(noWorkers, byName(workers));
  return { ...prepared, totalTokens: tokensOf(prepared.workers) };
}

/** @throws RangeError if a name occurs twice. */
export function byName<Worker extends PlacementWorker>(workers: Iterable<Worker>): Map<string, Worker> {
  const named = new Map<string, Worker>();
  for (const worker of workers) {
    if (named.has(worker.name)) throw new RangeError(`worker name "${worker.name}" occurs twice`);
    named.set(worker.name, worker);
  }
  return named;
}

/** In-flight tokens of those that do not drain. */
export function tokensOf(workers: readonly PlacementWorker[]): number {
  let total = 0;
  for (const { draining, inFlightTokens = 0 } of workers) if (draining !== true) total += inFlightTokens;
  return total;
}
