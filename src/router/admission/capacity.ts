import type { ModelTotal } from "../fleet/model-total.js";

/** More than the batches hold, so that a worker whose sequence ends has the next one at hand. */
const slack = 1.25;

/**
 * How many generations are worth sending to the workers of a model at once. What is more waits in the router, where
 * priority and fair shares count and no worker has been chosen yet. Infinite while some worker does not say what it can
 * take, and while there is none: that has an answer of its own.
 */
export function sequencesOf(total: ModelTotal | undefined): number {
  if (total === undefined || total.sequences === 0 || total.untold > 0) return Infinity;
  return Math.ceil(total.sequences * slack);
}
