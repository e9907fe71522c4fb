import { keyOf } from "./fleet-model.js";
import type { Policy } from "./policies.js";

/** What part of the keys changes its owner. */
export interface Movement {
  /** When one worker more joins. No way to hash can do with less than 1 / (workers + 1). */
  readonly join: number;
  /** When a worker leaves: at best 1 / workers. */
  readonly leave: number;
}

/** Counts the keys of an idle fleet that a join or a leave moves. Undefined: the policy gives keys no owners. */
export function movementOf(policy: Policy, workers: number, keys: number): Movement | undefined {
  if (policy.owner === undefined) return undefined;
  const names = Array.from({ length: workers + 1 }, (_, index) => `worker-${index}`);
  const leaving = workers >> 1;
  const before = policy.owner(names.slice(0, workers));
  const joined = policy.owner(names);
  const left = policy.owner(names.filter((_, index) => index !== leaving && index !== workers));
  let movedByJoin = 0;
  let movedByLeave = 0;
  for (let adapter = 0; adapter < keys; adapter++) {
    const key = keyOf(adapter);
    const owner = before(key);
    if (joined(key) !== owner) movedByJoin += 1;
    if (left(key) !== owner) movedByLeave += 1;
  }
  return { join: movedByJoin / keys, leave: movedByLeave / keys };
}
