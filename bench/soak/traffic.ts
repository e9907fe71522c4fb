import { connect } from "node:net";
import { Polygraft, PolygraftError } from "@polygraft/client";
import type { GenerateRequest } from "@polygraft/client";
import { Random } from "../peer/model/random.js";
import type { MovingAdapters } from "./adapters.js";

/** Where traffic goes. */
export interface Target {
  /** "host:port" of the router. */
  readonly address: string;
  /** All that listen: what is no request at all goes to each of them. */
  readonly listeners: readonly string[];
  readonly adapters: MovingAdapters;
  readonly vocabulary: number;
  readonly contextLength: number;
}

/** What traffic did. */
export interface Tally {
  /** By kind. */
  readonly operations: Map<string, number>;
  /** Refusals and failures that can happen under such traffic, by code. */
  readonly refusals: Map<string, number>;
  /** What must not happen. */
  readonly surprises: string[];
  outputTokens: number;
  /** Times that a running stream went on with another content of its adapter. */
  adapterChanges: number;
}

/** What generations and operators may be told when more adapters are wanted than fit, and files change meanwhile. */
const expected = new Set([
  "ADAPTER_MEMORY_FULL",
  "ADAPTER_NOT_FOUND",
  "ADAPTER_NOT_READY",
  "ADAPTER_SOURCE_UNAVAILABLE",
  "ADAPTER_DIGEST_MISMATCH", // of a stream that should go on elsewhere, after its adapter changed
  "QUEUE_FULL",
]);

/** What only those hear who ask for it. */
const askedFor: Readonly<Record<string, string>> = { "cancelled generation": "CANCELLED" };

/** A request that takes longer waits for ever, in milliseconds: far more than any needs, on a busy machine too. */
const forever = 180_000;

/** Random requests of all kinds, cancels, vanishing clients, operators at work, changed files and nonsense. */
export class Traffic {
  readonly tally: Tally = { operations: new Map(), refusals: new Map(), surprises: [], outputTokens: 0, adapterChanges: 0 };
  readonly #target: Target;
  readonly #client: Polygraft;
  readonly #random: Random;

  constructor(target: Target, seed: number) {
    this.#target = target;
    this.#client = new Polygraft({ address: target.address, retry: false });
    this.#random = new Random(seed);
  }

  /** So many lanes, each with one thing after another, until the signal is aborted. */
  async run(lanes: number, signal: AbortSignal): Promise<void> {
    const lane = async (): Promise<void> => {
      while (!signal.aborted) await this.#once();
    };
    await Promise.all(Array.from({ length: lanes }, lane));
    this.#client.close();
  }

  async #once(): Promise<void> {
    const [kind, operation] = this.#draw();
    count(this.tally.operations, kind);
    try {
      await operation();
    } catch (error) {
      const code = error instanceof PolygraftError ? error.code : "";
      if (expected.has(code) || askedFor[kind] === code) count(this.tally.refusals, code);
      else this.tally.surprises.push(`${kind}: ${String(error)}`);
    }
  }

  #draw(): readonly [string, () => Promise<void>] {
    const at = this.#random.below(100);
    const { names } = this.#target.adapters;
    const name = this.#pick(names);
    if (at < 56) return ["generation", () => this.#generate(this.#request())];
    if (at < 58) return ["swap in place", () => this.#swap(this.#pick(names.filter(isSwappedInPlace)), "in-place")];
    if (at < 60) return ["swap by draining", () => this.#swap(this.#pick(names.filter((own) => !isSwappedInPlace(own))), "drain")];
    if (at < 70) return ["cancelled generation", () => this.#cancel()];
    if (at < 74) return ["client that vanishes", () => this.#vanish()];
    if (at < 78) return ["load", async () => void (await this.#client.adapters.load(name, { tier: this.#pick(["device", "host"]) }))];
    if (at < 80) return ["pin", async () => void (await this.#client.adapters.pin(name, this.#random.below(4) === 0))];
    if (at < 83) return ["unload", async () => void (await this.#client.adapters.unload(name))];
    if (at < 86) return ["adapter replaced", () => this.#target.adapters.put(name)];
    if (at < 87) return ["adapter removed", () => this.#target.adapters.remove(name)];
    if (at < 89) return ["list", () => this.#list()];
    if (at < 90) return ["watch", () => this.#watch()];
    if (at < 97) return ["bad request", () => this.#refused()];
    return ["nonsense", () => this.#nonsense()];
  }

  #request(): GenerateRequest {
    const random = this.#random;
    const below = (limit: number): number => random.below(limit);
    const adapter = below(5) > 0 ? { adapter: this.#pick(this.#target.adapters.names) } : {};
    // A third of the prompts begin alike, so that prefixes are cached and shared.
    const shared = below(3) === 0 ? Array.from({ length: 64 * (1 + below(3)) }, (_, at) => 100 + at) : [];
    const own = Array.from({ length: 1 + below(below(4) === 0 ? 500 : 60) }, () => below(this.#target.vocabulary));
    return {
      ...adapter,
      prompt: [...shared, ...own],
      maxTokens: 1 + below(below(5) === 0 ? 200 : 40),
      ignoreEos: true,
      onMiss: this.#pick(["wait", "wait", "wait", "wait", "fail", "base"] as const),
      tenant: this.#pick(["", "a", "b"]),
      priority: below(3) - 1,
      ...(below(3) === 0 && { temperature: 1, topP: 0.9, seed: below(1000), repetitionPenalty: 1.1 }),
      ...(below(4) === 0 && { logprobs: true, topLogprobs: below(6), promptLogprobs: below(3) === 0 }),
      ...(below(8) === 0 && { cache: { salt: this.#pick(["x", "y"]) } }),
      ...(below(8) === 0 && { stop: ["e", "the "] }),
      ...(below(30) === 0 && { ttftTargetMs: 1 + below(500) }),
    };
  }

  async #generate(request: GenerateRequest): Promise<void> {
    const { usage, adapterChanges } = await this.#client.generate(request, { timeoutMs: forever }).final();
    this.tally.outputTokens += usage.outputTokens;
    this.tally.adapterChanges += adapterChanges.length;
    const name = request.adapter;
    if (adapterChanges.length > 0 && !(typeof name === "string" && isSwappedInPlace(name))) {
      throw new Error(`a stream with ${JSON.stringify(name)} came to another content, although nobody swaps that in place`);
    }
  }

  /** Another content under a name, for which there are streams: with one of them, longer than most, at least. */
  async #swap(adapter: string, swap: "drain" | "in-place"): Promise<void> {
    const stream = this.#generate({ ...this.#request(), adapter, maxTokens: 200, onMiss: "wait" });
    const replacement = this.#target.adapters.put(adapter).then(async () => this.#client.adapters.load(adapter, { swap }));
    const outcomes = await Promise.allSettled([stream, replacement]);
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  }

  async #cancel(): Promise<void> {
    const abort = new AbortController();
    let left = this.#random.below(8);
    if (left === 0) setImmediate(() => abort.abort());
    for await (const _ of this.#client.generate({ ...this.#request(), maxTokens: 100 }, { signal: abort.signal })) {
      if (--left <= 0) abort.abort();
    }
  }

  /** A client whose connection ends in the middle of several streams. */
  async #vanish(): Promise<void> {
    const client = new Polygraft({ address: this.#target.address, retry: false });
    const streams = Array.from({ length: 3 }, () => client.generate({ ...this.#request(), maxTokens: 100 }));
    const outcomes = streams.map((stream) => stream.final());
    for (const outcome of outcomes) outcome.catch(() => {});
    let left = 1 + this.#random.below(5);
    try {
      for await (const _ of client.generate(this.#request())) if (--left <= 0) break;
    } finally {
      client.close();
      await Promise.allSettled(outcomes);
    }
  }

  async #list(): Promise<void> {
    for await (const _ of this.#client.adapters.list());
  }

  async #watch(): Promise<void> {
    let left = 1 + this.#random.below(4);
    for await (const _ of this.#client.fleet.watch({ residency: true })) if (--left <= 0) break;
  }

  /** A request that must be refused, for that reason and no other. */
  async #refused(): Promise<void> {
    const { contextLength, vocabulary } = this.#target;
    const [codes, bad] = this.#pick<readonly [readonly string[], GenerateRequest]>([
      [["ADAPTER_NOT_FOUND"], { prompt: "hello", adapter: "nobody" }],
      [["ADAPTER_SOURCE_FORBIDDEN"], { prompt: "hello", adapter: "../../etc" }],
      [["INVALID_FIELD"], { prompt: "hello", temperature: 99 }],
      [["INVALID_FIELD"], { prompt: [vocabulary] }],
      [["INVALID_FIELD"], { prompt: [] }],
      [["MODEL_NOT_FOUND"], { prompt: "hello", model: "nobody" }],
      [["PROMPT_TOO_LONG"], { prompt: Array.from({ length: contextLength + 1 }, () => 5) }],
      [["UNSUPPORTED_FEATURE"], { prompt: "hello", constraint: { regex: "a+" } }],
    ]);
    const code = await this.#client.generate(bad).final().then(() => "none", (error: PolygraftError) => error.code);
    if (!codes.includes(code) && code !== "QUEUE_FULL") throw new Error(`${JSON.stringify(bad).slice(0, 80)} came to ${code}`);
  }

  /** Bytes that are no HTTP/2, and connections that end at once. */
  async #nonsense(): Promise<void> {
    const [host, port] = this.#pick(this.#target.listeners).split(":") as [string, string];
    const bytes = Buffer.from(Array.from({ length: this.#random.below(2000) }, () => this.#random.below(256)));
    await new Promise<void>((resolve) => {
      const socket = connect(Number(port), host, () => socket.end(bytes));
      socket.setTimeout(500, () => socket.destroy());
      socket.on("error", () => {}).on("close", () => resolve());
      socket.resume();
    });
  }

  #pick<T>(choices: readonly T[]): T {
    return choices[this.#random.below(choices.length)] as T;
  }
}

/** A third of the adapters is swapped in place, the others never: their streams keep what they began with. */
function isSwappedInPlace(name: string): boolean {
  return name.endsWith("-3");
}

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
