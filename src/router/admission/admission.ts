import { Status } from "nice-grpc";
import type { Failure } from "../failure.js";
import { firstBy } from "./first-by.js";
import { ServiceRate } from "./service-rate.js";

/** A request that wants a place. */
export interface Applicant {
  /** Whose share it uses. */
  readonly client: string;
  /** Higher goes first. */
  readonly priority: number;
  /** About how many tokens it can need. */
  readonly tokens: number;
  /** Longest wait for the first token that is of use, in milliseconds. */
  readonly firstTokenMillis?: number;
  /** Milliseconds until its deadline. Undefined: it has none. */
  millisLeft(): number | undefined;
  /** It has a place. */
  granted(): void;
  /** It gets none. */
  refused(failure: Failure): void;
}

/** How many may run, and how many may wait. */
export interface AdmissionLimits {
  /** The base model that is asked for. */
  readonly of: string;
  /** Requests that run at once, now. */
  readonly running: () => number;
  /** Requests that wait. */
  readonly waiting: number;
  /** Hears of each request that did not get a place at once. Default: nobody does. */
  readonly crowded?: () => void;
}

/** A place, or the wait for one. */
export interface Place {
  /** Gives it back, or ends the wait, at once. `served`: how long it took tells how long others will. */
  leave(served: boolean): void;
}

interface Entry extends Place {
  readonly applicant: Applicant;
  readonly place: number;
}

/** What a refused client is asked to wait, in milliseconds, where no better is known; and at least and at most. */
const defaultPushback = 500;
const leastPushback = 50;
const mostPushback = 30_000;

/**
 * Who may run. A place is held until it is left, and is handed on at once: to the highest priority, there to the client
 * that has the fewest requests running, and of one client to who came first. A client alone can have everything; a
 * flooding one waits behind itself.
 *
 * Whoever cannot be served before its deadline, by what requests have taken so far, is refused when it comes and not
 * when it is too late, with the time after which a retry has a chance. While places are free nobody is refused, so that
 * an estimate that is too high is corrected by those it lets through.
 *
 * When the queue is full, the last of the lowest priority goes, or of the client that waits with the most requests.
 */
export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #rate: ServiceRate;
  readonly #now: () => number;
  #running = 0;
  readonly #runningOf = new Map<string, number>();
  /** In the order of their coming. */
  #waiting: Entry[] = [];
  #places = 0;

  /** `now`: milliseconds on a clock that never goes back. */
  constructor(limits: AdmissionLimits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
    this.#rate = new ServiceRate();
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Asks for a place. `granted` or `refused` may be called before this returns, and neither after `leave`. */
  apply(applicant: Applicant): Place {
    let state: "waiting" | "running" | "over" = "waiting";
    let since = 0;
    const entry: Entry = {
      place: this.#places++,
      applicant: {
        ...applicant,
        millisLeft: () => applicant.millisLeft(),
        granted: () => {
          state = "running";
          since = this.#now();
          this.#count(applicant.client, 1);
          applicant.granted();
        },
        refused: (failure) => {
          state = "over";
          applicant.refused(failure);
        },
      },
      leave: (served) => {
        const before = state;
        state = "over";
        if (before === "waiting") this.#waiting = this.#waiting.filter((other) => other !== entry);
        if (before !== "running") return;
        if (served) this.#rate.observe(this.#now() - since, applicant.tokens);
        this.#count(applicant.client, -1);
        this.#handOn();
      },
    };
    this.#enter(entry);
    return entry;
  }

  #enter(entry: Entry): void {
    const { applicant } = entry;
    if (this.#waiting.length === 0 && this.#running < this.#limits.running()) return applicant.granted();
    this.#limits.crowded?.();
    const late = this.#tooLate(applicant, this.#millisUntilTurn(applicant));
    if (late !== undefined) return applicant.refused(late);
    if (this.#waiting.length >= this.#limits.waiting) {
      const victim = this.#victim(applicant);
      if (victim === undefined) return applicant.refused(this.#full(applicant));
      this.#waiting = this.#waiting.filter((other) => other !== victim);
      victim.applicant.refused(this.#full(victim.applicant));
    }
    this.#waiting.push(entry);
    this.#handOn();
  }

  #handOn(): void {
    while (this.#running < this.#limits.running()) {
      const next = firstBy(this.#waiting, ({ applicant, place }) => [
        -applicant.priority,
        this.#runningOf.get(applicant.client) ?? 0,
        place,
      ]);
      if (next === undefined) return;
      this.#waiting = this.#waiting.filter((other) => other !== next);
      const late = this.#tooLate(next.applicant, 0);
      if (late === undefined) next.applicant.granted();
      else next.applicant.refused(late);
    }
  }

  #count(client: string, change: 1 | -1): void {
    this.#running += change;
    const count = (this.#runningOf.get(client) ?? 0) + change;
    if (count === 0) this.#runningOf.delete(client);
    else this.#runningOf.set(client, count);
  }

  /** How long those take that go before a newcomer: all of higher priority, and of the same one a fair share. */
  #millisUntilTurn({ client, priority, tokens }: Applicant): number {
    const own = this.#waiting.filter((it) => it.applicant.client === client && it.applicant.priority === priority).length;
    const seen = new Map<string, number>();
    let ahead = tokens;
    for (const { applicant } of this.#waiting) {
      if (applicant.priority < priority) continue;
      const count = (seen.get(applicant.client) ?? 0) + 1;
      seen.set(applicant.client, count);
      if (applicant.priority > priority || count <= own + 1) ahead += applicant.tokens;
    }
    return this.#rate.millis(ahead) / Math.max(1, this.#limits.running());
  }

  #tooLate(applicant: Applicant, wait: number): Failure | undefined {
    const { firstTokenMillis = Infinity, tokens } = applicant;
    const left = applicant.millisLeft() ?? Infinity;
    // Who is only as likely as not to be done in time would mostly take a place for nothing.
    const needed = wait + this.#rate.atMost(tokens);
    if (needed <= left && wait <= firstTokenMillis) return undefined;
    const [limit, what] = needed > left ? [left, "deadline"] : [firstTokenMillis, "ttft_target_millis"];
    const message = `the router is busy with requests for "${this.#limits.of}": this one would take about ${Math.ceil(needed > left ? needed : wait)} ms, and its ${what} allows ${Math.floor(limit)} ms`;
    return exhausted(message, this.#pushback(wait));
  }

  /** Whom a newcomer to a full queue displaces. */
  #victim(newcomer: Applicant): Entry | undefined {
    const waitingOf = new Map<string, number>();
    for (const { applicant } of this.#waiting) waitingOf.set(applicant.client, (waitingOf.get(applicant.client) ?? 0) + 1);
    const of = (client: string) => waitingOf.get(client) ?? 0;
    const last = firstBy(this.#waiting, ({ applicant, place }) => [applicant.priority, -of(applicant.client), -place]);
    if (last === undefined) return undefined;
    if (last.applicant.priority !== newcomer.priority) return last.applicant.priority < newcomer.priority ? last : undefined;
    return of(last.applicant.client) > of(newcomer.client) + 1 ? last : undefined;
  }

  #full(applicant: Applicant): Failure {
    const message = `the router's queue for "${this.#limits.of}" is full: ${this.#running} requests run and ${this.#waiting.length} wait, of at most ${this.#limits.waiting}; try again`;
    return exhausted(message, this.#pushback(this.#millisUntilTurn(applicant)));
  }

  #pushback(wait: number): number {
    return wait === 0 ? defaultPushback : Math.min(mostPushback, Math.max(leastPushback, Math.ceil(wait)));
  }
}

function exhausted(message: string, retryAfterMillis: number): Failure {
  return { status: Status.RESOURCE_EXHAUSTED, reason: "QUEUE_FULL", message, retryAfterMillis };
}
