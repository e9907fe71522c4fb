/** How far placement may go from the first worker of a key's preference list, and when. */
export interface PlacementPolicy {
  /** A worker takes a key only below (1 + epsilon) times its fair share of the in-flight tokens. Default: 0.25. */
  readonly epsilon?: number;
  /**
   * In-flight tokens up to which the load bound does not apply to a worker that is not full: an idle fleet should not
   * spread one adapter. Default: 4096.
   */
  readonly floorTokens?: number;
  /**
   * A key keeps its workers until its load has fallen below this part of what would have them added, so that a load
   * that goes up and down a little changes nothing. Above 0, up to 1: no hysteresis. Default: 0.5.
   */
  readonly hysteresis?: number;
}

/** The defaults. */
export const defaultPolicy: Required<PlacementPolicy> = { epsilon: 0.25, floorTokens: 4096, hysteresis: 0.5 };

/** Fills in the defaults. */
export function resolvePolicy(policy: PlacementPolicy): Required<PlacementPolicy> {
  return {
    epsilon: policy.epsilon ?? defaultPolicy.epsilon,
    floorTokens: policy.floorTokens ?? defaultPolicy.floorTokens,
    hysteresis: policy.hysteresis ?? defaultPolicy.hysteresis,
  };
}

/**
 * Says which field is out of its range.
 *
 * @throws RangeError
 */
export function checkPolicy(policy: PlacementPolicy): void {
  const { epsilon, floorTokens, hysteresis } = resolvePolicy(policy);
  if (!(epsilon > 0 && Number.isFinite(epsilon))) throw new RangeError(`epsilon must be above 0 and finite, is ${epsilon}`);
  if (!(floorTokens >= 0)) throw new RangeError(`floorTokens must not be below 0, is ${floorTokens}`);
  if (!(hysteresis > 0 && hysteresis <= 1)) throw new RangeError(`hysteresis must be above 0 and at most 1, is ${hysteresis}`);
}
