import { SimulatedWorker } from "./worker-model.js";
import type { Job, ResidencyListener } from "./worker-model.js";

const nobody: ReadonlySet<string> = new Set();

/** Workers, and what a router knows of them. */
export class SimulatedFleet implements ResidencyListener {
  readonly workers: readonly SimulatedWorker[];
  readonly #holders = new Map<number, Set<string>>();
  readonly #tokens = new Map<number, number>();
  totalTokens = 0;

  constructor(size: number) {
    this.workers = Array.from({ length: size }, (_, index) => new SimulatedWorker(index, this));
  }

  /** Names of the workers that have the adapter on the device. */
  holders(adapter: number): ReadonlySet<string> {
    return this.#holders.get(adapter) ?? nobody;
  }

  /** In-flight tokens of an adapter. */
  tokensOf(adapter: number): number {
    return this.#tokens.get(adapter) ?? 0;
  }

  arrive(job: Job): void {
    this.#count(job, 1);
    job.worker.arrive(job);
  }

  leave(job: Job): void {
    this.#count(job, -1);
    job.worker.leave(job);
  }

  loaded(adapter: number, worker: SimulatedWorker): void {
    const holders = this.#holders.get(adapter);
    if (holders === undefined) this.#holders.set(adapter, new Set([worker.name]));
    else holders.add(worker.name);
  }

  evicted(adapter: number, worker: SimulatedWorker): void {
    const holders = this.#holders.get(adapter);
    holders?.delete(worker.name);
    if (holders?.size === 0) this.#holders.delete(adapter);
  }

  #count({ adapter, promptTokens, outputTokens }: Job, sign: 1 | -1): void {
    const tokens = sign * (promptTokens + outputTokens);
    this.totalTokens += tokens;
    const left = this.tokensOf(adapter) + tokens;
    if (left === 0) this.#tokens.delete(adapter);
    else this.#tokens.set(adapter, left);
  }
}

/** An adapter's name, as it is hashed. */
export function keyOf(adapter: number): string {
  return `org-${adapter % 997}/adapter-${adapter}`;
}
