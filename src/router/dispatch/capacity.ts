import type { FleetMember } from "../fleet/member.js";

/** More than the batches hold, so that a worker whose sequence ends has the next one at hand. */
const slack = 1.25;

/**
 * How many generations are worth sending to workers at once. What is more waits in the router, where priority and fair
 * shares count and no worker has been chosen yet. Infinite while some worker does not say what it can take, and while
 * there is none: that has an answer of its own.
 */
export function sequencesOf(members: readonly FleetMember[]): number {
  let sequences = 0;
  for (const { hello } of members) {
    const own = hello.capacity?.maxSequences ?? 0;
    if (own === 0) return Infinity;
    sequences += own;
  }
  return sequences === 0 ? Infinity : Math.ceil(sequences * slack);
}
