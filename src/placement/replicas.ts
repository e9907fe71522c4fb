/** How many workers should share the requests of one key. */

import type { PlacementFleet } from "./fleet.js";
import type { PlacementPolicy } from "./policy.js";
import { resolvePolicy } from "./policy.js";

/** What a key asks of the fleet. */
export interface KeyLoad {
  /** In-flight tokens of its requests, in the whole fleet. */
  readonly tokens: number;
  /** Workers that hold its adapter on the device. */
  readonly held: number;
}

/**
 * The number of workers, k, that a key's requests go to: as many as its load fills to their bound, from 1 to all.
 *
 * Hysteresis needs no memory, because the fleet is the memory: while the load asks for less than what is held, but for
 * more than `hysteresis` of it, k is what is held. So two routers of the same view have the same k, and a router that
 * starts has it at once. To shrink unloads nothing; a worker that is not used any more lets the adapter go when it
 * needs the slot.
 */
export function replicas(fleet: PlacementFleet, load: KeyLoad, policy: PlacementPolicy = {}): number {
  const { epsilon, floorTokens, hysteresis } = resolvePolicy(policy);
  // Without a load above the floor the total, which is a sum over all workers, need not be known.
  if (load.tokens <= floorTokens * hysteresis) return 1;
  const { totalTokens, workers } = fleet;
  const bound = Math.max(floorTokens, ((1 + epsilon) * totalTokens) / workers.length);
  const needed = Math.ceil(load.tokens / bound);
  const kept = Math.ceil(load.tokens / (bound * hysteresis));
  return Math.max(1, Math.min(workers.length, Math.max(needed, Math.min(load.held, kept))));
}
