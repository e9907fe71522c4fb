/** Placement of requests that no worker is better prepared for than another. */

import { Best } from "./best.js";
import type { PlacementFleet } from "./fleet.js";
import { gapBelowOne, hash64 } from "./hash.js";
import type { Placement, PlacementRequest } from "./place.js";
import { score } from "./rendezvous.js";

/** The worker with the fewest in-flight tokens for its weight; of several, the tie breaker's first. */
export function placeAnywhere(fleet: PlacementFleet, request: PlacementRequest): Placement | undefined {
  const { workers, weights, hashHi } = fleet;
  const { excluded, tieBreaker = "" } = request;
  const hash = hash64(tieBreaker);
  let best = new Best();
  let bestLoad = 0;
  for (let index = 0; index < workers.length; index++) {
    const worker = workers[index]!;
    if (excluded !== undefined && excluded.size > 0 && excluded.has(worker.name)) continue;
    const weight = weights[index]!;
    // A draining worker loses to any other, whatever the load.
    const load = worker.draining === true ? Number.POSITIVE_INFINITY : (worker.inFlightTokens ?? 0) / weight;
    if (best.index < 0 || load < bestLoad) {
      best = new Best();
      bestLoad = load;
    } else if (load !== bestLoad || best.beats(weight, gapBelowOne(hash, hashHi[index]!))) continue;
    best.offer(index, score(fleet, index, hash));
  }
  const chosen = workers[best.index];
  if (chosen === undefined) return undefined;
  return { worker: chosen.name, reason: chosen.draining === true ? "draining" : "least-loaded" };
}
