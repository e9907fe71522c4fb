/** How a call at a worker went, as far as the worker is to blame. */
export type Verdict =
  /** It answered: with output, or with a failure that is the request's. */
  | "good"
  /** It was lost, or failed at what it should have been able to do. */
  | "bad"
  /** Nothing was learnt: it had no room, it drains, or the client left. */
  | "none";

/** When a worker is left alone. */
export interface BreakerLimits {
  /** Calls in a row that end badly until it is. */
  readonly failures: number;
  /** For how long, in milliseconds. Then one call may try it. */
  readonly openMillis: number;
}

interface Breaker {
  failures: number;
  openUntil: number;
  /** A call is trying whether the worker is well again. */
  trial: boolean;
}

/**
 * Circuit breakers, one for each worker. A verdict is heard when a call ends, not when it was sent off: a worker that
 * accepts everything and dies in mid-stream is found out. A refusal for lack of room says nothing about health.
 */
export class Breakers {
  readonly #limits: BreakerLimits;
  readonly #now: () => number;
  /** Workers whose last call did not end well. */
  readonly #breakers = new Map<string, Breaker>();

  constructor(limits: BreakerLimits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
  }

  /** Workers that should get no call now. */
  closedTo(): ReadonlySet<string> {
    if (this.#breakers.size === 0) return nobody;
    const now = this.#now();
    const names = new Set<string>();
    for (const [name, { openUntil, trial }] of this.#breakers) if (openUntil > now || trial) names.add(name);
    return names;
  }

  /** A call goes to a worker. The result takes the verdict; only the first counts. */
  begin(worker: string): (verdict: Verdict) => void {
    const breaker = this.#breakers.get(worker);
    const isTrial = breaker !== undefined && breaker.openUntil > 0;
    if (isTrial) breaker.trial = true;
    let over = false;
    return (verdict) => {
      if (over) return;
      over = true;
      const known = this.#breakers.get(worker);
      if (known !== undefined && isTrial) known.trial = false;
      if (verdict === "good") this.#breakers.delete(worker);
      if (verdict === "bad") this.#fail(worker);
    };
  }

  /** A worker has left; one of that name that comes back begins anew. */
  forget(worker: string): void {
    this.#breakers.delete(worker);
  }

  #fail(worker: string): void {
    const breaker = this.#breakers.get(worker) ?? { failures: 0, openUntil: 0, trial: false };
    breaker.failures += 1;
    if (breaker.failures >= this.#limits.failures) breaker.openUntil = this.#now() + this.#limits.openMillis;
    this.#breakers.set(worker, breaker);
  }
}

const nobody: ReadonlySet<string> = new Set();
