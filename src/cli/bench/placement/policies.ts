/** Ways to choose a worker. */

import { hash64, place, prepareFleet, replicas } from "@polygraft/placement";
import type { PlacementFleet, PlacementPolicy } from "@polygraft/placement";
import type { SimulatedFleet } from "./fleet-model.js";
import type { Uniform } from "./random.js";

/** A request to be placed. */
export interface Choice {
  readonly adapter: number;
  readonly key: string;
  readonly rank: number;
  readonly tokens: number;
}

/** Chooses a worker of one fleet, by its index. */
export type Choose = (choice: Choice) => number;

/** A way to choose. */
export interface Policy {
  readonly name: string;
  /** For a fleet that is simulated. `draw`: for what is random. */
  choose(fleet: SimulatedFleet, draw: Uniform): Choose;
  /** Which worker owns a key while nothing is going on. Absent: none does. */
  owner?(workers: readonly string[]): (key: string) => string;
}

/** Points of a worker on a ring of ours; ketama's number. */
const pointsPerWorker = 160;

/** What polygraft does. */
export function polygraft(policy: PlacementPolicy): Policy {
  return {
    name: "polygraft",
    choose(fleet) {
      const prepared = followLoads(fleet);
      return ({ adapter, key, rank }) => {
        const resident = fleet.holders(adapter);
        const k = replicas(prepared, { tokens: fleet.tokensOf(adapter), held: resident.size }, policy);
        const { worker } = place(prepared, { key, rankUnits: rank, resident, replicas: k }, policy)!;
        return indexOf(worker);
      };
    },
    owner(workers) {
      const prepared = prepareFleet(workers.map((name) => ({ name })));
      return (key) => place(prepared, { key })!.worker;
    },
  };
}

/**
 * Consistent hashing with bounded loads (Mirrokni, Thorup & Zadimoghaddam 2016) on a ring: the first worker clockwise
 * that is below (1 + epsilon) times the mean, in tokens. It knows no slots and no floor.
 */
export function boundedRing(epsilon: number): Policy {
  return {
    name: "bounded-load ring",
    choose(fleet) {
      const ring = new Ring(fleet.workers.map(({ name }) => name));
      const { workers } = fleet;
      return ({ key, tokens }) => {
        const cap = ((1 + epsilon) * (fleet.totalTokens + tokens)) / workers.length;
        return ring.first(key, (index) => workers[index]!.inFlightTokens < cap);
      };
    },
    owner(workers) {
      const ring = new Ring(workers);
      return (key) => workers[ring.first(key, () => true)]!;
    },
  };
}

/** The worker with the fewest in-flight tokens. Of several, the one that follows a random place. */
export const leastLoaded: Policy = {
  name: "least-loaded",
  choose({ workers }, draw) {
    return () => {
      const start = Math.floor(draw() * workers.length);
      let best = start;
      for (let step = 1; step < workers.length; step++) {
        const index = (start + step) % workers.length;
        if (workers[index]!.inFlightTokens < workers[best]!.inFlightTokens) best = index;
      }
      return best;
    };
  },
};

/** Any worker. */
export const random: Policy = {
  name: "random",
  choose({ workers }, draw) {
    return () => Math.floor(draw() * workers.length);
  },
};

/** Index of a worker by its name. */
export function indexOf(worker: string): number {
  return Number(worker.slice(worker.lastIndexOf("-") + 1));
}

/** A prepared fleet whose total follows its workers. */
function followLoads(fleet: SimulatedFleet): PlacementFleet {
  return {
    ...prepareFleet(fleet.workers),
    get totalTokens() {
      return fleet.totalTokens;
    },
  };
}

/** Points of all workers on a circle of 32 bits, in order. */
class Ring {
  readonly #points: Float64Array;
  readonly #owners: Uint32Array;

  constructor(workers: readonly string[]) {
    const points = workers.flatMap((name, owner) =>
      Array.from({ length: pointsPerWorker }, (_, point) => ({ at: hash64(`${name}#${point}`).hi, owner })),
    );
    points.sort((a, b) => a.at - b.at || a.owner - b.owner);
    this.#points = Float64Array.from(points, ({ at }) => at);
    this.#owners = Uint32Array.from(points, ({ owner }) => owner);
  }

  /** The first owner clockwise from a key that passes; the key's own if none does. */
  first(key: string, passes: (owner: number) => boolean): number {
    const at = hash64(key).hi;
    const count = this.#points.length;
    let low = 0;
    let high = count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#points[middle]! < at) low = middle + 1;
      else high = middle;
    }
    for (let step = 0; step < count; step++) {
      const owner = this.#owners[(low + step) % count]!;
      if (passes(owner)) return owner;
    }
    return this.#owners[low % count]!;
  }
}
