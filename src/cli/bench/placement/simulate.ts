import { setImmediate } from "node:timers/promises";
import { EventQueue } from "./event-queue.js";
import { keyOf, SimulatedFleet } from "./fleet-model.js";
import { percentile } from "../statistics.js";
import type { Policy } from "./policies.js";
import { seeded } from "./random.js";
import { requestsOf } from "./traces.js";
import type { TraceName } from "./traces.js";
import { rankOf, workerCapacity } from "./worker-model.js";
import type { Job, SimulatedWorker } from "./worker-model.js";

/** What is simulated. */
export interface SimulationSetup {
  readonly trace: TraceName;
  readonly workers: number;
  readonly adapters: number;
  readonly requests: number;
  readonly seed: number;
}

/** What came of it. The first quarter of the requests, while caches are cold, does not count. */
export interface SimulationResult {
  /** In-flight tokens of the busiest worker over the mean: the mean of many moments, and the 99th percentile. */
  readonly imbalance: number;
  readonly imbalanceP99: number;
  /** Part of the requests whose adapter was not on the device of their worker. */
  readonly misses: number;
  /** Part of the requests that went to another worker than the one before of the same adapter. */
  readonly moves: number;
  /** Most workers that held one adapter at a time. */
  readonly mostCopies: number;
  /** Milliseconds until a request was ready for its first step: queue and load of the adapter. */
  readonly waitP50Ms: number;
  readonly waitP99Ms: number;
  /** Microseconds of a decision. */
  readonly decisionP50Micros: number;
  readonly decisionP99Micros: number;
  readonly decisionsPerSecond: number;
}

/** How often the load of all workers is looked at, in looks per worker and request; it costs a look at each. */
const looksPerRequest = 8;
/** How long to run before other things in the process get a turn, in milliseconds. */
const turnMillis = 50;

/** Runs one trace through one policy. Rejects when the signal aborts. */
export async function simulate(policy: Policy, setup: SimulationSetup, signal: AbortSignal): Promise<SimulationResult> {
  const { trace, workers, adapters, requests, seed } = setup;
  const fleet = new SimulatedFleet(workers);
  const choose = policy.choose(fleet, seeded(seed + 1));
  const ends = new EventQueue<Job>();
  const warmUp = Math.floor(requests / 4);
  const measured = requests - warmUp;
  const decisions = new Float64Array(measured);
  const waits = new Float64Array(measured);
  const imbalances: number[] = [];
  const lastWorker = new Int32Array(adapters).fill(-1);
  const lookEvery = Math.max(1, Math.floor(workers / looksPerRequest));
  let started = 0;
  let missed = 0;
  let moved = 0;
  let mostCopies = 0;

  function start(worker: SimulatedWorker, now: number): void {
    for (let next = worker.startNext(now); next !== undefined; next = worker.startNext(now)) {
      ends.push(next.endsAt, next.job);
      if (next.job.number < warmUp) continue;
      waits[started++] = next.job.readyAt - next.job.at;
      if (next.job.missed) missed += 1;
    }
  }

  let number = 0;
  let turnEnds = performance.now() + turnMillis;
  for (const request of requestsOf(trace, { adapters, requests, capacity: workers * workerCapacity, seed })) {
    for (let at = ends.nextAt; at <= request.at; at = ends.nextAt) {
      const job = ends.pop()!;
      fleet.leave(job);
      start(job.worker, at);
    }
    const { adapter, promptTokens, outputTokens } = request;
    const choice = { adapter, key: keyOf(adapter), rank: rankOf(adapter), tokens: promptTokens + outputTokens };
    const begin = performance.now();
    const index = choose(choice);
    const took = performance.now() - begin;
    const worker = fleet.workers[index]!;
    const job: Job = { ...request, number, worker, readyAt: 0, missed: false };
    fleet.arrive(job);
    start(worker, request.at);
    if (number >= warmUp) {
      decisions[number - warmUp] = took;
      if (lastWorker[adapter] !== -1 && lastWorker[adapter] !== index) moved += 1;
      mostCopies = Math.max(mostCopies, fleet.holders(adapter).size);
      if (number % lookEvery === 0) imbalances.push(imbalanceOf(fleet));
    }
    lastWorker[adapter] = index;
    number += 1;
    if (performance.now() < turnEnds) continue;
    await setImmediate();
    signal.throwIfAborted();
    turnEnds = performance.now() + turnMillis;
  }

  const seconds = decisions.reduce((sum, took) => sum + took, 0) / 1000;
  const sortedDecisions = decisions.sort();
  const sortedWaits = waits.subarray(0, started).sort();
  return {
    imbalance: imbalances.reduce((sum, value) => sum + value, 0) / imbalances.length,
    imbalanceP99: percentile(Float64Array.from(imbalances).sort(), 0.99),
    misses: missed / started,
    moves: moved / measured,
    mostCopies,
    waitP50Ms: percentile(sortedWaits, 0.5) * 1000,
    waitP99Ms: percentile(sortedWaits, 0.99) * 1000,
    decisionP50Micros: percentile(sortedDecisions, 0.5) * 1000,
    decisionP99Micros: percentile(sortedDecisions, 0.99) * 1000,
    decisionsPerSecond: measured / seconds,
  };
}

function imbalanceOf({ workers, totalTokens }: SimulatedFleet): number {
  let most = 0;
  for (const { inFlightTokens } of workers) most = Math.max(most, inFlightTokens);
  return (most * workers.length) / totalTokens;
}
