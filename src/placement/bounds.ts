/** What a worker must have left to take a key. */

import type { PlacementFleet, PlacementWorker } from "./fleet.js";
import type { PlacementRequest } from "./place.js";
import type { PlacementPolicy } from "./policy.js";
import { resolvePolicy } from "./policy.js";

/** The bounds of one decision. */
export class Bounds {
  readonly #fleet: PlacementFleet;
  readonly #request: PlacementRequest;
  readonly #epsilon: number;
  readonly #floor: number;
  /** Absent until a worker is above the floor: the total of a live fleet is a sum over all its workers. */
  #fairShare: number | undefined;

  constructor(fleet: PlacementFleet, request: PlacementRequest, policy: PlacementPolicy) {
    const { epsilon, floorTokens } = resolvePolicy(policy);
    this.#fleet = fleet;
    this.#request = request;
    this.#epsilon = epsilon;
    this.#floor = floorTokens;
  }

  /** Whether the worker is below (1 + epsilon) times its fair share of the load, or not full and below the floor. */
  loadFits(worker: PlacementWorker, weight: number): boolean {
    return this.#below(worker, weight, 1 + this.#epsilon);
  }

  /**
   * The same with half the slack. A key with replicas leaves a worker this early, so that those with only one worker
   * need not leave it at all.
   */
  loadFitsEasily(worker: PlacementWorker, weight: number): boolean {
    return this.#below(worker, weight, 1 + this.#epsilon / 2);
  }

  /** Whether the worker has the adapter on the device, or a slot to spare for it. */
  slotFits(worker: PlacementWorker): boolean {
    const { freeRankUnits } = worker;
    if (freeRankUnits === undefined || freeRankUnits >= (this.#request.rankUnits ?? 0)) return true;
    return this.#request.resident?.has(worker.name) === true;
  }

  #below(worker: PlacementWorker, weight: number, slack: number): boolean {
    const load = worker.inFlightTokens ?? 0;
    return (load < this.#floor && worker.full !== true) || load < slack * this.#share() * weight;
  }

  #share(): number {
    this.#fairShare ??= this.#fleet.totalTokens / this.#fleet.totalWeight;
    return this.#fairShare;
  }
}
