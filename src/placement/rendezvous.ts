/**
 * Weighted rendezvous hashing (highest random weight: Thaler & Ravishankar 1998; weighted form: Schindelhauer &
 * Schomaker 2005). The score of a worker for a key depends on these two alone, so a worker that joins or leaves moves
 * only the keys it wins or loses: 1/n of them.
 */

import type { PlacementFleet } from "./fleet.js";
import { type Hash64, unitInterval } from "./hash.js";

/** Score of the worker at `index` for a key: -weight / ln(u). The highest wins. */
export function score(fleet: PlacementFleet, index: number, key: Hash64): number {
  const u = unitInterval(key, fleet.hashHi[index]!, fleet.hashLo[index]!);
  return -fleet.weights[index]! / Math.log(u);
}
