/**
 * What a decision reads of workers that does not change from one to the next, as columns of numbers: a pass over them
 * touches no worker but those that could win.
 *
 * A change makes another set of columns out of the last one. It hashes and reads only the workers that it is about; all
 * others are moved in runs, which costs less than the one pass that the next decision makes over them.
 */

import { editColumn, editList, lengthAfter } from "./edit.js";
import type { Step } from "./edit.js";
import type { PlacementWorker } from "./fleet.js";
import { type Hash64, hash64 } from "./hash.js";
import { unitBytesOf } from "./rank-units.js";
import { changeZones, noZones } from "./zones.js";
import type { Zones } from "./zones.js";

/** Workers in the order of their names. Immutable. */
export interface PreparedWorkers<Worker extends PlacementWorker = PlacementWorker> extends Zones {
  readonly workers: readonly Worker[];
  /** Hash lanes of the names, by position in `workers`. */
  readonly hashHi: Uint32Array;
  readonly hashLo: Uint32Array;
  /** Weights, likewise. */
  readonly weights: Float64Array;
  /** 1 for workers that do not drain, likewise. */
  readonly awake: Uint8Array;
  /** Bytes of a rank unit, likewise; infinite where that is unknown. */
  readonly units: Float64Array;
  /** Weight of all workers that do not drain. */
  readonly totalWeight: number;
  /** Bytes of a rank unit on their devices, the smallest of any; 0 if none says how many it has. */
  readonly unitBytes: number;
}

/** An empty fleet. */
export const noWorkers: PreparedWorkers<never> = {
  workers: [],
  hashHi: new Uint32Array(),
  hashLo: new Uint32Array(),
  weights: new Float64Array(),
  awake: new Uint8Array(),
  units: new Float64Array(),
  ...noZones,
  totalWeight: 0,
  unitBytes: 0,
};

/**
 * The workers after a change. What comes out is what preparing them all at once would give, up to the numbers of zones.
 *
 * @param changes by name: a worker that comes, or is not as it was; undefined for one that goes
 * @throws RangeError if a weight is not above 0.
 */
export function changePrepared<Worker extends PlacementWorker>(
  old: PreparedWorkers<Worker>,
  changes: ReadonlyMap<string, Worker | undefined>,
): PreparedWorkers<Worker> {
  const steps = stepsOf(old.workers, changes);
  const count = lengthAfter(old.workers.length, steps);
  const hashes = new Map<Worker, Hash64>();
  for (const { comes } of steps) if (comes !== undefined) hashes.set(comes, comes.nameHash ?? hash64(comes.name));
  const weights = editColumn(new Float64Array(count), old.weights, steps, weightOf);
  const awake = editColumn(new Uint8Array(count), old.awake, steps, ({ draining }) => (draining === true ? 0 : 1));
  const units = editColumn(new Float64Array(count), old.units, steps, ({ adapterRoom }) => unitBytesOf(adapterRoom));
  return {
    workers: editList(old.workers, steps),
    hashHi: editColumn(new Uint32Array(count), old.hashHi, steps, (worker) => hashes.get(worker)!.hi),
    hashLo: editColumn(new Uint32Array(count), old.hashLo, steps, (worker) => hashes.get(worker)!.lo),
    weights,
    awake,
    units,
    ...changeZones(old, steps, count),
    totalWeight: sumOf(weights, awake),
    unitBytes: smallestOf(units),
  };
}

/** What a change does to a list in the order of names. */
function stepsOf<Worker extends PlacementWorker>(
  workers: readonly Worker[],
  changes: ReadonlyMap<string, Worker | undefined>,
): Step<Worker>[] {
  const steps: Step<Worker>[] = [];
  for (const [name, comes] of [...changes].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const at = positionOf(workers, name);
    if (comes !== undefined) steps.push({ at, comes });
    if (workers[at]?.name === name) steps.push({ at });
  }
  return steps;
}

/** Where the worker of that name is, or would be, in a list in the order of names. */
export function positionOf(workers: readonly PlacementWorker[], name: string): number {
  let low = 0;
  let high = workers.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (workers[middle]!.name < name) low = middle + 1;
    else high = middle;
  }
  return low;
}

function weightOf({ name, weight = 1 }: PlacementWorker): number {
  if (weight > 0 && Number.isFinite(weight)) return weight;
  throw new RangeError(`weight of worker "${name}" must be a number above 0, not ${weight}`);
}

/** Summed anew, in the order of names: a sum that is kept would round as its history does, and routers would disagree. */
function sumOf(weights: Float64Array, awake: Uint8Array): number {
  let sum = 0;
  for (let index = 0; index < weights.length; index++) if (awake[index] === 1) sum += weights[index]!;
  return sum;
}

function smallestOf(units: Float64Array): number {
  let smallest = Number.POSITIVE_INFINITY;
  for (let index = 0; index < units.length; index++) if (units[index]! < smallest) smallest = units[index]!;
  return Number.isFinite(smallest) ? smallest : 0;
}
