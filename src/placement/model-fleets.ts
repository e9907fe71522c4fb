import { enliven } from "./live-fleet.js";
import type { LiveFleet, LiveWorker, TotalOf } from "./live-fleet.js";
import { changePrepared, noWorkers } from "./prepared.js";

/** The workers of one model, and what has changed since they were prepared, by name. Undefined: that one is gone. */
interface Kept<Worker extends LiveWorker> {
  fleet: LiveFleet<Worker> | undefined;
  readonly changes: Map<string, Worker | undefined>;
}

/**
 * A fleet that changes, each base model's workers prepared for placement. Changes are only noted; whoever asks next has
 * them all worked into what was prepared before, in one step, so a thousand workers that join at once cost no more than
 * one. What was handed out is never written.
 */
export class ModelFleets<Worker extends LiveWorker> {
  readonly #total: TotalOf<Worker> | undefined;
  readonly #kept = new Map<string, Kept<Worker>>();
  readonly #stale = new Set<string>();
  #current: ReadonlyMap<string, LiveFleet<Worker>> = new Map();

  /** @param total in-flight tokens of workers of one model that do not drain. Default: a sum over them. */
  constructor(total?: TotalOf<Worker>) {
    this.#total = total;
  }

  /** The fleets as of now, by model; none is empty. The same map until there is a change. */
  get current(): ReadonlyMap<string, LiveFleet<Worker>> {
    if (this.#stale.size > 0) this.#current = this.#bringUpToDate();
    return this.#current;
  }

  /** A worker of that model comes, or what is prepared from it is not as it was: its weight, its zone, or whether it drains. */
  set(model: string, worker: Worker): void {
    this.#change(model, worker.name, worker);
  }

  /** The worker of that name goes. */
  remove(model: string, name: string): void {
    this.#change(model, name, undefined);
  }

  #change(model: string, name: string, worker: Worker | undefined): void {
    let kept = this.#kept.get(model);
    if (kept === undefined) this.#kept.set(model, (kept = { fleet: undefined, changes: new Map() }));
    kept.changes.set(name, worker);
    this.#stale.add(model);
  }

  #bringUpToDate(): ReadonlyMap<string, LiveFleet<Worker>> {
    for (const model of this.#stale) {
      const kept = this.#kept.get(model)!;
      const prepared = changePrepared<Worker>(kept.fleet ?? noWorkers, kept.changes);
      kept.changes.clear();
      if (prepared.workers.length === 0) this.#kept.delete(model);
      else kept.fleet = enliven(prepared, this.#total);
    }
    this.#stale.clear();
    return new Map([...this.#kept].map(([model, { fleet }]) => [model, fleet!]));
  }
}
