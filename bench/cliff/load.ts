import { setTimeout as sleep } from "node:timers/promises";
import type { Polygraft } from "@polygraft/client";
import { arrivals } from "../overload/arrivals.js";
import { Random } from "../peer/model/random.js";
import { adapterName } from "./serving.js";

/** What clients do. */
export interface Load {
  /** Adapters in use: each request is for any of them, all equally likely. */
  readonly adapters: number;
  readonly seconds: number;
  /** Tokens of a prompt, all different, and of an output. */
  readonly promptTokens: number;
  readonly outputTokens: number;
  readonly vocabulary: number;
  readonly seed: number;
}

/** A request that was served. */
export interface Served {
  /** Milliseconds from the call to the first token. */
  readonly firstMillis: number;
  /** Of those, milliseconds until the adapter was on the device, as the worker says. */
  readonly adapterMillis: number;
  /** Whether its adapter was on the device when it came. */
  readonly hit: boolean;
  /** Milliseconds between one delta and the next. */
  readonly gaps: readonly number[];
}

/** Requests of a Poisson process: they come whether others are done or not. */
export async function open(client: Polygraft, load: Load, perSecond: number): Promise<Served[]> {
  const requests = new Requests(client, load);
  const random = new Random(load.seed + 1);
  const begin = performance.now();
  const served: Promise<Served>[] = [];
  for (const at of arrivals(perSecond, load.seconds * 1000, () => random.below(2 ** 32) / 2 ** 32)) {
    await sleep(Math.max(0, begin + at - performance.now()));
    const one = requests.next();
    one.catch(() => {}); // told below
    served.push(one);
  }
  return Promise.all(served);
}

/** So many clients at once, each with another request right after the last. */
export async function closed(client: Polygraft, load: Load, clients: number): Promise<Served[]> {
  const requests = new Requests(client, load);
  const end = performance.now() + load.seconds * 1000;
  const each = Array.from({ length: clients }, async () => {
    const served: Served[] = [];
    while (performance.now() < end) served.push(await requests.next());
    return served;
  });
  return (await Promise.all(each)).flat();
}

/** The same requests for every load of one seed, but for their adapters. */
class Requests {
  readonly #client: Polygraft;
  readonly #load: Load;
  readonly #random: Random;

  constructor(client: Polygraft, load: Load) {
    this.#client = client;
    this.#load = load;
    this.#random = new Random(load.seed);
  }

  async next(): Promise<Served> {
    const { adapters, promptTokens, outputTokens, vocabulary } = this.#load;
    const adapter = adapterName(this.#random.below(adapters));
    const prompt = Array.from({ length: promptTokens }, () => this.#random.below(vocabulary));
    const call = performance.now();
    let [accepted, adapterMillis, firstMillis, last] = [false, 0, Number.NaN, 0];
    const gaps: number[] = [];
    for await (const event of this.#client.generate({ adapter, prompt, maxTokens: outputTokens, ignoreEos: true })) {
      const now = performance.now();
      if (event.type === "accepted") [accepted, adapterMillis] = [event.tier === "device", event.adapterWaitMs];
      if (event.type !== "delta") continue;
      if (last === 0) firstMillis = now - call;
      else gaps.push(now - last);
      last = now;
    }
    return { firstMillis, adapterMillis, hit: accepted, gaps };
  }
}
