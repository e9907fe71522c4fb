/** The fleet as placement sees it: prepared once per change, read by every decision, never written. */

import { type Hash64, hash64 } from "./hash.js";

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
  /** Tokens of running and waiting requests. Absent: unknown, read as 0. */
  readonly inFlightTokens?: number;
  /**
   * Has as many requests as it runs at once: a further one would wait, so the floor of the load bound does not hold for
   * it. Default: false.
   */
  readonly full?: boolean;
  /** Rank units that an unpinned, unreferenced slot could give. Absent: unknown, read as enough. */
  readonly freeRankUnits?: number;
}

/** Workers in the order of their names, with their hashes and weights. Immutable. */
export interface PlacementFleet {
  readonly workers: readonly PlacementWorker[];
  /** Hash lanes of the names, by position in `workers`. */
  readonly hashHi: Uint32Array;
  readonly hashLo: Uint32Array;
  /** Weights, likewise. */
  readonly weights: Float64Array;
  /** Zones, likewise: numbers below `zoneCount`. */
  readonly zones: Uint32Array;
  /** Zones that occur; workers without one share the zone "". */
  readonly zoneCount: number;
  /** In-flight tokens of all workers that do not drain. */
  readonly totalTokens: number;
  /** Weight of all workers that do not drain. */
  readonly totalWeight: number;
}

/**
 * Prepares a fleet. Sorting by name makes ties, and so decisions, the same on every router whatever the order in which
 * workers joined.
 *
 * @throws RangeError if a name occurs twice or a weight is not above 0.
 */
export function prepareFleet(workers: Iterable<PlacementWorker>): PlacementFleet {
  const sorted = inOrder([...workers]);
  const hashHi = new Uint32Array(sorted.length);
  const hashLo = new Uint32Array(sorted.length);
  const weights = new Float64Array(sorted.length);
  const zones = new Uint32Array(sorted.length);
  const zoneNumbers = new Map<string, number>();
  let totalTokens = 0;
  let totalWeight = 0;
  for (const [index, worker] of sorted.entries()) {
    if (sorted[index - 1]?.name === worker.name) throw new RangeError(`worker name "${worker.name}" occurs twice`);
    const weight = worker.weight ?? 1;
    if (!(weight > 0) || !Number.isFinite(weight)) {
      throw new RangeError(`weight of worker "${worker.name}" must be a number above 0, not ${weight}`);
    }
    const hash = worker.nameHash ?? hash64(worker.name);
    hashHi[index] = hash.hi;
    hashLo[index] = hash.lo;
    weights[index] = weight;
    zones[index] = numberOf(zoneNumbers, worker.zone ?? "");
    if (worker.draining === true) continue;
    totalTokens += worker.inFlightTokens ?? 0;
    totalWeight += weight;
  }
  return { workers: sorted, hashHi, hashLo, weights, zones, zoneCount: zoneNumbers.size, totalTokens, totalWeight };
}

/** Sorts by name. Callers that keep their workers in order pay one look at each. */
function inOrder(workers: PlacementWorker[]): PlacementWorker[] {
  const isSorted = workers.every(({ name }, index) => index === 0 || workers[index - 1]!.name <= name);
  return isSorted ? workers : workers.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

function numberOf(numbers: Map<string, number>, name: string): number {
  const known = numbers.get(name);
  if (known !== undefined) return known;
  numbers.set(name, numbers.size);
  return numbers.size - 1;
}
