import type { PlacementWorker } from "@polygraft/placement";
import { meanTokens } from "./traces.js";
import type { SimulatedRequest } from "./traces.js";

/** A worker as it is simulated: continuous batching, adapters in slots, a queue. Seconds, tokens, rank units. */
export const workerModel = {
  /** Sequences in one step. */
  maxSequences: 32,
  /** Output tokens a second of one sequence. */
  decodeRate: 30,
  /** Prompt tokens a second. */
  prefillRate: 2000,
  /** Rank units on the device. */
  rankUnits: 2048,
  /** Time to load an adapter, and what each unit of its rank adds. */
  loadSeconds: 0.02,
  loadSecondsPerUnit: 0.001,
} as const;

/** Requests a second that keep one worker busy. */
export const workerCapacity =
  workerModel.maxSequences / (meanTokens.prompt / workerModel.prefillRate + meanTokens.output / workerModel.decodeRate);

/** Rank of an adapter: half of them have 8, few have 64. */
export function rankOf(adapter: number): number {
  const draw = Math.imul(adapter + 1, 0x9e3779b1) >>> 0;
  const share = draw / 2 ** 32;
  return share < 0.5 ? 8 : share < 0.8 ? 16 : share < 0.95 ? 32 : 64;
}

/** A request at a worker. */
export interface Job extends SimulatedRequest {
  /** Its place in the trace, from 0. */
  readonly number: number;
  readonly worker: SimulatedWorker;
  /** When it was ready for its first step, and whether its adapter had to be loaded. Set when it starts. */
  readyAt: number;
  missed: boolean;
}

/** Hears where adapters are. */
export interface ResidencyListener {
  loaded(adapter: number, worker: SimulatedWorker): void;
  evicted(adapter: number, worker: SimulatedWorker): void;
}

/** One worker. What placement reads of it is exact: the simulation has no samples that age. */
export class SimulatedWorker implements PlacementWorker {
  readonly name: string;
  readonly index: number;
  /** Tokens of prompt and output of all its requests, until they end. */
  inFlightTokens = 0;
  readonly #listener: ResidencyListener;
  /** Adapters on the device, the longest unused first. */
  readonly #resident = new Set<number>();
  #residentUnits = 0;
  /** Requests by adapter: all of them, and those that run. */
  readonly #present = new Map<number, number>();
  readonly #used = new Map<number, number>();
  #presentUnits = 0;
  #running = 0;
  readonly #queue: Job[] = [];
  #queueHead = 0;

  constructor(index: number, listener: ResidencyListener) {
    this.index = index;
    this.name = `worker-${index}`;
    this.#listener = listener;
  }

  /** Units that no adapter of a running or waiting request needs. */
  get freeRankUnits(): number {
    return Math.max(0, workerModel.rankUnits - this.#presentUnits);
  }

  arrive(job: Job): void {
    this.inFlightTokens += job.promptTokens + job.outputTokens;
    if (add(this.#present, job.adapter, 1) === 1) this.#presentUnits += rankOf(job.adapter);
    this.#queue.push(job);
  }

  leave(job: Job): void {
    this.inFlightTokens -= job.promptTokens + job.outputTokens;
    if (add(this.#present, job.adapter, -1) === 0) this.#presentUnits -= rankOf(job.adapter);
    add(this.#used, job.adapter, -1);
    this.#running -= 1;
  }

  /** Starts the next waiting request, first come first served. Returns when it ends; undefined: it must go on waiting. */
  startNext(now: number): { readonly job: Job; readonly endsAt: number } | undefined {
    const job = this.#queue[this.#queueHead];
    if (job === undefined || this.#running === workerModel.maxSequences) return undefined;
    const isMiss = !this.#resident.has(job.adapter);
    if (isMiss && !this.#makeRoom(rankOf(job.adapter))) return undefined;
    this.#dequeue();
    job.missed = isMiss;
    job.readyAt = now;
    if (isMiss) {
      const { loadSeconds, loadSecondsPerUnit } = workerModel;
      job.readyAt += loadSeconds + loadSecondsPerUnit * rankOf(job.adapter);
      this.#residentUnits += rankOf(job.adapter);
      this.#listener.loaded(job.adapter, this);
    }
    // Moves it to the end: used last.
    this.#resident.delete(job.adapter);
    this.#resident.add(job.adapter);
    add(this.#used, job.adapter, 1);
    this.#running += 1;
    const endsAt = job.readyAt + job.promptTokens / workerModel.prefillRate + job.outputTokens / workerModel.decodeRate;
    return { job, endsAt };
  }

  #makeRoom(units: number): boolean {
    for (const adapter of this.#resident) {
      if (this.#residentUnits + units <= workerModel.rankUnits) break;
      if (this.#used.has(adapter)) continue;
      this.#resident.delete(adapter);
      this.#residentUnits -= rankOf(adapter);
      this.#listener.evicted(adapter, this);
    }
    return this.#residentUnits + units <= workerModel.rankUnits;
  }

  #dequeue(): void {
    this.#queueHead += 1;
    if (this.#queueHead < 1024 || this.#queueHead * 2 < this.#queue.length) return;
    this.#queue.splice(0, this.#queueHead);
    this.#queueHead = 0;
  }
}

function add(counts: Map<number, number>, key: number, by: number): number {
  const count = (counts.get(key) ?? 0) + by;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
  return count;
}
