import { prepareFleet } from "./fleet.js";
import type { PlacementFleet, PlacementWorker } from "./fleet.js";
import { smallestUnitBytes } from "./rank-units.js";
import type { AdapterRoom } from "./rank-units.js";

/** A worker whose load changes while the fleet stays prepared. */
export interface LiveWorker extends PlacementWorker {
  /** What it has for adapters. */
  readonly adapterRoom: AdapterRoom;
}

/** A prepared fleet whose workers, and so whose total, are live. */
export interface LiveFleet<Worker extends LiveWorker = LiveWorker> extends PlacementFleet {
  readonly workers: readonly Worker[];
  /** Bytes of a rank unit on their devices, the smallest of any; 0 if none says how many it has. */
  readonly unitBytes: number;
}

/**
 * Prepares a fleet whose loads change between decisions: its total is asked for anew each time. Who is in it, and who
 * drains, must stay.
 *
 * @param workers in the order of their names
 * @param total their in-flight tokens. Default: a sum over those that do not drain.
 */
export function liveFleet<Worker extends LiveWorker>(
  workers: readonly Worker[],
  total: (workers: readonly Worker[]) => number = sumOf,
): LiveFleet<Worker> {
  return {
    ...prepareFleet(workers),
    workers,
    unitBytes: smallestUnitBytes(workers.map(({ adapterRoom }) => adapterRoom)),
    get totalTokens() {
      return total(workers);
    },
  };
}

/** Those of a fleet that are named. Where that is all of them, they share what is prepared. Undefined: it is nobody. */
export function namedAmong<Worker extends LiveWorker>(all: LiveFleet<Worker>, names: ReadonlySet<string>): LiveFleet<Worker> | undefined {
  const some = all.workers.filter(({ name }) => names.has(name));
  if (some.length === all.workers.length) return all;
  return some.length === 0 ? undefined : liveFleet(some);
}

/** Groups workers by what `groupOf` says of each, in the order in which they come. */
export function groupWorkers<Worker>(workers: Iterable<Worker>, groupOf: (worker: Worker) => string): Map<string, Worker[]> {
  const groups = new Map<string, Worker[]>();
  for (const worker of workers) {
    const group = groups.get(groupOf(worker));
    if (group === undefined) groups.set(groupOf(worker), [worker]);
    else group.push(worker);
  }
  return groups;
}

function sumOf(workers: readonly PlacementWorker[]): number {
  let total = 0;
  for (const { draining, inFlightTokens = 0 } of workers) if (draining !== true) total += inFlightTokens;
  return total;
}
