import { Admission } from "./admission.js";

/** How many requests of one model may run, and how many may wait. */
export interface ModelLimits {
  /** Requests of that model that run at once, now. */
  readonly running: (model: string) => number;
  /** Requests of each model that wait. */
  readonly waiting: number;
  /** Whether a worker of that model is there. */
  readonly served: (model: string) => boolean;
  /** Hears of each request that did not get a place at once. */
  readonly crowded: () => void;
}

/**
 * Who may run, for each base model by itself: its places are what its workers can take, its queue and its pace are its
 * own. So whatever is asked of one model, requests for another that has free workers neither wait nor are refused.
 */
export class ModelAdmission {
  readonly #limits: ModelLimits;
  readonly #now: () => number;
  readonly #admissions = new Map<string, Admission>();

  /** `now`: milliseconds on a clock that never goes back. */
  constructor(limits: ModelLimits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
  }

  /** Models whose requests are counted. */
  get size(): number {
    return this.#admissions.size;
  }

  /** Of a model that a worker serves. */
  of(model: string): Admission {
    let admission = this.#admissions.get(model);
    if (admission === undefined) {
      this.#forgetAbsent();
      const { running, waiting, crowded } = this.#limits;
      admission = new Admission({ of: model, running: () => running(model), waiting, crowded }, this.#now);
      this.#admissions.set(model, admission);
    }
    return admission;
  }

  /** A model that comes makes room for it: those that are served no more leave nothing behind. */
  #forgetAbsent(): void {
    for (const [model, { running, waiting }] of this.#admissions) {
      if (running + waiting === 0 && !this.#limits.served(model)) this.#admissions.delete(model);
    }
  }
}
