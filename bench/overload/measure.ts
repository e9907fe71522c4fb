import { setTimeout as sleep } from "node:timers/promises";
import { Random } from "../peer/model/random.js";
import { arrivals } from "./arrivals.js";
import type { Asking, Ending } from "./clients.js";

/** An offered load. */
export interface Offer {
  readonly requestsPerSecond: number;
  readonly seconds: number;
  readonly deadlineMillis: number;
  readonly tokens: number;
}

/** What became of it. Rates in requests a second, of those that came after the first quarter. */
export interface Outcome {
  readonly offered: number;
  /** Complete within the deadline. */
  readonly goodput: number;
  /** Refused with RESOURCE_EXHAUSTED. */
  readonly refused: number;
  /** Milliseconds until a refusal. */
  readonly refusedP50: number;
  /** Past their deadline, after having waited for all of it. */
  readonly late: number;
  /** Milliseconds that good ones took. */
  readonly p50: number;
  readonly p99: number;
}

/** Has clients offer a load, open loop: nobody waits for anybody. */
export async function offer(clients: Asking, load: Offer): Promise<Outcome> {
  const millis = load.seconds * 1000;
  const counted = millis / 4;
  const begun = performance.now();
  const pending: Promise<Ending>[] = [];
  const random = new Random(1);
  for (const at of arrivals(load.requestsPerSecond, millis, () => random.below(2 ** 32) / 2 ** 32)) {
    const wait = begun + at - performance.now();
    if (wait > 0) await sleep(wait);
    const ending = clients.ask();
    if (at >= counted) pending.push(ending);
  }
  const endings = await Promise.all(pending);
  const seconds = (millis - counted) / 1000;
  const of = (status: number) => endings.filter((ending) => ending.status === status);
  const times = of(0).map((ending) => ending.millis).sort((a, b) => a - b);
  const refusals = of(8).map((ending) => ending.millis).sort((a, b) => a - b);
  return {
    offered: endings.length / seconds,
    goodput: times.length / seconds,
    refused: refusals.length / seconds,
    refusedP50: refusals[Math.floor(refusals.length / 2)] ?? 0,
    late: of(4).length / seconds,
    p50: times[Math.floor(times.length / 2)] ?? 0,
    p99: times[Math.floor(times.length * 0.99)] ?? 0,
  };
}
