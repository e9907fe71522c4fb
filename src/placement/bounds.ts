/** What a worker must have left to take a key. */

import type { PlacementFleet, PlacementWorker } from "./fleet.js";
import type { PlacementPolicy, PlacementRequest } from "./place.js";

export const DEFAULT_EPSILON = 0.25;
export const DEFAULT_FLOOR_TOKENS = 4096;

/** The bounds of one decision. */
export class Bounds {
  readonly #fleet: PlacementFleet;
  readonly #request: PlacementRequest;
  readonly #epsilon: number;
  readonly #floor: number;
  /** Absent until a worker is above the floor: the total of a live fleet is a sum over all its workers. */
  #capPerWeight: number | undefined;

  constructor(fleet: PlacementFleet, request: PlacementRequest, policy: PlacementPolicy) {
    this.#fleet = fleet;
    this.#request = request;
    this.#epsilon = policy.epsilon ?? DEFAULT_EPSILON;
    this.#floor = policy.floorTokens ?? DEFAULT_FLOOR_TOKENS;
  }

  /** Whether the worker has room for the request's tokens, and a slot for its adapter. */
  admit(worker: PlacementWorker, weight: number): boolean {
    const load = worker.inFlightTokens ?? 0;
    return (load < this.#floor || load < this.#cap() * weight) && this.#slotFits(worker);
  }

  #cap(): number {
    this.#capPerWeight ??= ((1 + this.#epsilon) * this.#fleet.totalTokens) / this.#fleet.totalWeight;
    return this.#capPerWeight;
  }

  #slotFits(worker: PlacementWorker): boolean {
    const { freeRankUnits } = worker;
    if (freeRankUnits === undefined || freeRankUnits >= (this.#request.rankUnits ?? 0)) return true;
    return this.#request.resident?.has(worker.name) === true;
  }
}
