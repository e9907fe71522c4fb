/**
 * Weighted rendezvous hashing (highest random weight: Thaler & Ravishankar 1998; weighted form: Schindelhauer &
 * Schomaker 2005). The score of a worker for a key depends on these two alone, so a worker that joins or leaves moves
 * only the keys it wins or loses: 1/n of them.
 */

import type { PlacementFleet } from "./fleet.js";
import { type Hash64, hash64, unitInterval } from "./hash.js";

/** Score of the worker at `index` for a key: -weight / ln(u). The highest wins. */
export function score(fleet: PlacementFleet, index: number, key: Hash64): number {
  const u = unitInterval(key, fleet.hashHi[index]!, fleet.hashLo[index]!);
  return -(fleet.workers[index]!.weight ?? 1) / Math.log(u);
}

/**
 * The key's workers in the order of preference, best first; ties go to the smaller name.
 *
 * @param limit most names to return. Default: all.
 */
export function preferenceList(fleet: PlacementFleet, key: string, limit = fleet.workers.length): string[] {
  const hash = hash64(key);
  return fleet.workers
    .map((worker, index) => ({ name: worker.name, score: score(fleet, index, hash) }))
    .sort((a, b) => b.score - a.score || (a.name < b.name ? -1 : 1))
    .slice(0, limit)
    .map((entry) => entry.name);
}
