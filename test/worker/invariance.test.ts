import { setImmediate as tick } from "node:timers/promises";
import { Tier } from "@polygraft/api";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { WorkerOptions } from "../../gpu-worker/src/index.js";
import { Random } from "../support/random.js";
import { collect, request, temporaryWorker, type Output, type TemporaryWorker } from "../support/worker-fixture.js";

// The law of the engine's step loop (its own test drives it without a host around), seen by clients of a worker: what a
// request returns depends on nothing but the request. Not on who came before or shares its steps, not on how prompts are
// cut, what the prefix cache has, which adapters had to go and come back, who gave up its blocks, or how many threads ran.

const ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"] as const;
const ADAPTERS = {
  a: { seed: 1 },
  b: { seed: 2, rank: 4, targets: ["o_proj", "down_proj"] },
  c: { seed: 3, rank: 16, targets: ALL },
  d: { seed: 4, rank: 8, targets: ALL },
  e: { seed: 5, rank: 2, targets: ["gate_proj", "up_proj"] },
} as const;
const NAMES = Object.keys(ADAPTERS);
const VOCABULARY = 300;
/** Bytes of a KV block of the tiny model: 2 layers, keys and values, 2 heads of 16 in fp16, 64 tokens. */
const BLOCK_BYTES = 2 * 2 * 2 * 16 * 2 * 64;
/** Bytes on the device of the largest adapter, c, and a small one beside it: the others have to come and go. */
const ADAPTER_BYTES = { source: 150_000, int8: 42_000 } as const;
const REQUESTS = 40;
const AT_ONCE = 10;

type Request = ReturnType<typeof request>;

type AdapterType = keyof typeof ADAPTER_BYTES;

/** Workers that have one request at a time, compute every prompt at once and in full, and have room for everything. */
let calm: Record<AdapterType, TemporaryWorker>;
beforeAll(async () => {
  const start = (adapterType: AdapterType) => temporaryWorker(ADAPTERS, { prefixCache: false, adapterType });
  calm = { source: await start("source"), int8: await start("int8") };
});
afterAll(async () => Promise.all(Object.values(calm).map((worker) => worker[Symbol.asyncDispose]())));

function randomRequest(random: Random): Request {
  // Prompts begin alike for up to four blocks, so that there are prefixes to share, and part in the middle of one.
  const common = random.integer(2) * random.integer(260);
  const own = 1 + random.integer(random.integer(3) === 0 ? 150 : 20);
  const ids = [
    ...Array.from({ length: common }, (_, at) => (at * 7) % VOCABULARY),
    ...Array.from({ length: own }, () => random.integer(VOCABULARY)),
  ];
  const name = [undefined, ...NAMES][random.integer(NAMES.length + 1)];
  const draws = random.integer(2) === 0;
  return request(
    { $case: "tokenIds", value: { ids } },
    {
      ...(name !== undefined && { adapter: { id: name } }),
      sampling: draws ? { temperature: 1, topP: 0.95, seed: BigInt(random.integer(1e6)), repetitionPenalty: 1.2, frequencyPenalty: 0.1 } : {},
      response: { logprobs: true, topLogprobs: random.integer(4), promptLogprobs: random.integer(5) === 0 },
      qos: { priority: random.integer(3) - 1, tenant: ["x", "y"][random.integer(2)] as string },
      stopping: { maxTokens: 1 + random.integer(60) },
    },
  );
}

/** All that must be equal. */
function essence({ text, tokenIds, events, finished }: Output) {
  const scores = events.flatMap(({ event }) => {
    if (event?.$case === "delta") return event.value.logprobs;
    return event?.$case === "promptScores" ? event.value.tokens : [];
  });
  return { text, tokenIds, scores, reason: finished?.reason };
}

/** The rest of a stream that broke off after so many tokens. */
function resumed(wanted: Request, whole: Output, tokens: number): Request {
  const { promptLogprobs: _, ...response } = wanted.response ?? {};
  return { ...wanted, response, resume: { tokenIds: whole.tokenIds.slice(0, tokens), textBytes: 0 } };
}

function randomOptions(random: Random, adapterType: AdapterType): Partial<WorkerOptions> {
  const maxSequences = 3 + random.integer(6);
  return {
    maxSequences,
    maxStepTokens: maxSequences + random.integer(80),
    maxPrefillTokens: 1 + random.integer(60),
    // The longest request takes 8 blocks: with few more than that, sequences give theirs up and begin again.
    kvBytes: (9 + random.integer(random.integer(2) === 0 ? 3 : 40)) * BLOCK_BYTES,
    adapterType,
    adapterBytes: ADAPTER_BYTES[adapterType],
    adapterWaitSeconds: 120,
    prefixCache: random.integer(4) > 0,
    threads: 1 + random.integer(2),
  };
}

const traces: [number, AdapterType][] = [[1, "source"], [2, "source"], [3, "source"], [4, "source"], [5, "int8"], [6, "int8"]];

test.each(traces)("trace %i, adapters as %s: every request returns what it returns alone", { timeout: 240_000 }, async (seed, adapterType) => {
  const random = new Random(seed);
  await using busy = await temporaryWorker(ADAPTERS, randomOptions(random, adapterType));
  const requests = Array.from({ length: REQUESTS }, () => randomRequest(random));
  const alone: Output[] = [];
  for (const wanted of requests) alone.push(await collect(calm[adapterType].inference.generate(wanted)));

  const outputs: { readonly index: number; readonly from: number; readonly output: Output }[] = [];
  let left = requests.map((_, index) => index);
  const lane = async (): Promise<void> => {
    for (let index = left.shift(); index !== undefined; index = left.shift()) {
      for (let ticks = random.integer(20); ticks > 0; ticks--) await tick();
      const wanted = requests[index] as Request;
      const whole = alone[index] as Output;
      if (random.integer(6) === 0) await cancelled(busy, wanted, random.integer(4));
      if (random.integer(8) === 0) await busy.adapterService.unloadAdapter({ adapter: { id: NAMES[random.integer(NAMES.length)] as string } });
      const from = random.integer(4) === 0 ? random.integer(whole.tokenIds.length) : 0;
      const output = await collect(busy.inference.generate(from > 0 ? resumed(wanted, whole, from) : wanted));
      outputs.push({ index, from, output });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));

  for (const { index, from, output } of outputs) {
    const whole = essence(alone[index] as Output);
    if (from === 0) expect({ index, ...essence(output) }).toEqual({ index, ...whole });
    else expect({ index, ...essence(output), scores: [] }).toEqual({ index, ...whole, tokenIds: whole.tokenIds.slice(from), scores: [] });
  }
  expect(outputs).toHaveLength(REQUESTS);
  // The trace did what it is for: adapters came back from host memory.
  expect(outputs.some(({ output }) => output.accepted?.tier === Tier.HOST)).toBe(true);
});

/** A client that leaves. */
async function cancelled({ inference }: TemporaryWorker, wanted: Request, after: number): Promise<void> {
  const abort = new AbortController();
  let events = 0;
  try {
    for await (const _ of inference.generate(wanted, { signal: abort.signal })) if (++events > after) abort.abort();
  } catch (error) {
    if (!abort.signal.aborted) throw error;
  }
}
