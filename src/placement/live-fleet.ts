import { byName, tokensOf } from "./fleet.js";
import type { PlacementFleet, PlacementWorker } from "./fleet.js";
import { changePrepared, noWorkers, positionOf } from "./prepared.js";
import type { PreparedWorkers } from "./prepared.js";
import type { AdapterRoom } from "./rank-units.js";

/** A worker whose load changes while the fleet stays prepared. */
export interface LiveWorker extends PlacementWorker {
  readonly adapterRoom: AdapterRoom;
}

/** A prepared fleet whose workers, and so whose total, are live. */
export interface LiveFleet<Worker extends LiveWorker = LiveWorker> extends PlacementFleet {
  readonly workers: readonly Worker[];
}

/** In-flight tokens of these workers. */
export type TotalOf<Worker> = (workers: readonly Worker[]) => number;

/**
 * Prepares a fleet whose loads change between decisions: its total is asked for anew each time. Who is in it, and who
 * drains, must stay.
 *
 * @throws RangeError if a name occurs twice or a weight is not above 0.
 */
export function liveFleet<Worker extends LiveWorker>(workers: readonly Worker[]): LiveFleet<Worker> {
  return enliven(changePrepared<Worker>(noWorkers, byName(workers)));
}

/**
 * Prepared workers with a total that is asked for anew each time.
 *
 * @param total of workers that do not drain. Default: a sum over them.
 */
export function enliven<Worker extends LiveWorker>(prepared: PreparedWorkers<Worker>, total: TotalOf<Worker> = tokensOf): LiveFleet<Worker> {
  const { workers } = prepared;
  return {
    ...prepared,
    get totalTokens() {
      return total(workers);
    },
  };
}

/** Those of a fleet that are named. Where that is all of them, they share what is prepared. Undefined: it is nobody. */
export function namedAmong<Worker extends LiveWorker>(all: LiveFleet<Worker>, names: ReadonlySet<string>): LiveFleet<Worker> | undefined {
  const some = names.size < all.workers.length ? found(all, names) : all.workers.filter(({ name }) => names.has(name));
  if (some.length === all.workers.length) return all;
  return some.length === 0 ? undefined : liveFleet(some);
}

/** Looks for each name by itself: few of many must not cost a look at all. */
function found<Worker extends LiveWorker>({ workers }: LiveFleet<Worker>, names: ReadonlySet<string>): Worker[] {
  const some: Worker[] = [];
  for (const name of names) {
    const worker = workers[positionOf(workers, name)];
    if (worker?.name === name) some.push(worker);
  }
  return some;
}
