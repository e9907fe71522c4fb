/**
 * Weighted rendezvous hashing (highest random weight: Thaler & Ravishankar 1998; weighted form: Schindelhauer &
 * Schomaker 2005). The score of a worker for a key depends on these two alone, so a worker that joins or leaves moves
 * only the keys it wins or loses: 1/n of them.
 */

import type { PlacementFleet, PlacementWorker } from "./fleet.js";
import { type Hash64, hash64, unitInterval } from "./hash.js";

/** Score of the worker at `index` for a key: -weight / ln(u). The highest wins. */
export function score(fleet: PlacementFleet, index: number, key: Hash64): number {
  const u = unitInterval(key, fleet.hashHi[index]!, fleet.hashLo[index]!);
  return -fleet.weights[index]! / Math.log(u);
}

/** Whether a key prefers the first worker to the second, zones apart. Ties go to the smaller name. */
export function prefers(key: string, first: PlacementWorker, second: PlacementWorker): boolean {
  const hash = hash64(key);
  const [one, other] = [first, second].map(({ name, nameHash = hash64(name), weight = 1 }) => {
    return -weight / Math.log(unitInterval(hash, nameHash.hi, nameHash.lo));
  }) as [number, number];
  return one > other || (one === other && first.name < second.name);
}
