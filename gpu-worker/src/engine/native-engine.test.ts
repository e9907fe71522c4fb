import { writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { temporaryFolder } from "../../../test/support/temporary-folder.js";
import { writeTinyAdapter, writeTinyModel } from "../../../test/support/tiny-model.js";
import { EngineError, type Alternative, type Engine, type EngineRequest, type SequenceListener } from "./engine.js";
import type { NativeOptions } from "./addon.js";
import { openNativeEngine } from "./native-engine.js";

/** What a listener heard. */
interface Heard {
  started: number;
  cached: number;
  scores: { token: number; logprob: number }[];
  tokens: { token: number; logprob: number; top: readonly Alternative[] }[];
  end: string;
}

/** Submits a request and waits for its end; `onToken` can act in between. */
function generate(engine: Engine, request: EngineRequest, onToken?: (id: number, heard: Heard) => void): Promise<Heard> {
  return new Promise((resolve) => {
    const heard: Heard = { started: 0, cached: 0, scores: [], tokens: [], end: "" };
    const end = (how: string): void => {
      heard.end = how;
      resolve(heard);
    };
    const listener: SequenceListener = {
      started: (cached) => {
        heard.started++;
        heard.cached = cached;
      },
      promptScore: (token, logprob) => heard.scores.push({ token, logprob }),
      token: (token, logprob, top) => {
        heard.tokens.push({ token, logprob, top });
        onToken?.(id, heard);
      },
      finished: end,
      failed: (error) => end(error instanceof EngineError ? `failed: ${error.code}` : "failed"),
    };
    const id = engine.submit(request, listener);
  });
}

const prompt = (...tokens: number[]): Uint32Array => Uint32Array.from(tokens);
const long = { prompt: prompt(9, 8, 7), maxTokens: 500, ignoreEos: true };

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let engine: Engine;
let slots: number[];

beforeAll(async () => {
  folder = await temporaryFolder();
  await writeTinyModel(`${folder.path}/model`);
  const phases = new Set<string>();
  engine = await openNativeEngine({ modelDir: `${folder.path}/model`, threads: 2, maxSequences: 8 }, (phase, done, total) => {
    phases.add(phase);
    expect(done).toBeLessThanOrEqual(total);
  });
  expect(phases.size).toBeGreaterThan(0);
  slots = [];
  for (const [rank, seed] of [[4, 1], [16, 2]] as const) {
    const directory = `${folder.path}/adapter-${seed}`;
    await writeTinyAdapter(directory, { rank, seed, targets: ["q_proj", "v_proj", "down_proj"] });
    const adapter = await engine.openAdapter(directory);
    expect(adapter).toMatchObject({ rank, baseModel: "tiny", targetModules: ["q_proj", "v_proj", "down_proj"] });
    slots.push(await engine.attachAdapter(adapter));
    adapter.close();
  }
});
afterAll(async () => {
  await engine.close();
  await folder[Symbol.asyncDispose]();
});

test("info describes the model and its memory", () => {
  expect(engine.info).toMatchObject({ architecture: "llama", weights: "w4-g32", vocabularySize: 320, contextLength: 512 });
  expect(engine.info.digest).toMatch(/^sha256:[0-9a-f]{64}$/);
  expect(engine.info.device).toMatch(/^cpu\//);
  expect(engine.info.warning).toBeUndefined();
  expect(engine.info.kvBlocks * engine.info.kvBlockTokens).toBeGreaterThanOrEqual(engine.info.contextLength);
  expect(engine.info.eosTokenIds).toEqual([2]);
});

test("a stream starts, brings its tokens with log-probabilities, and finishes", async () => {
  const heard = await generate(engine, { ...long, maxTokens: 5, logprobs: true, topLogprobs: 3 });
  expect(heard).toMatchObject({ started: 1, end: "max-tokens" });
  expect(heard.tokens).toHaveLength(5);
  for (const { token, logprob, top } of heard.tokens) {
    expect(top).toHaveLength(3);
    expect(top[0]).toEqual({ tokenId: token, logprob });  // greedy
    expect(logprob).toBeLessThan(0);
  }
});

test("whoever shares the batch, a request returns what it returns alone", async () => {
  const requests = Array.from({ length: 24 }, (_, i): EngineRequest => ({
    prompt: prompt(...Array.from({ length: 1 + ((i * 37) % 90) }, (_unused, j) => (i * 13 + j * 7) % 320)),
    maxTokens: 10 + i,
    logprobs: true,
    ...(i % 3 < 2 ? { adapterSlot: slots[i % 3] ?? 0 } : {}),
    ...(i % 2 === 0 ? { temperature: 0.9, topP: 0.95, seed: BigInt(i) << 40n } : {}),
  }));
  const together = await Promise.all(requests.map((request) => generate(engine, request)));
  // Alone, a request may find its own prompt in the cache.
  for (const [i, request] of requests.entries()) {
    const alone = await generate(engine, request);
    expect({ ...alone, cached: 0 }).toEqual({ ...together[i], cached: 0 });
  }
  const base = await generate(engine, { ...long, maxTokens: 8 });
  expect(await generate(engine, { ...long, maxTokens: 8, adapterSlot: slots[0] ?? 0 })).not.toEqual(base);
});

test("a prompt can be scored without generating", async () => {
  const heard = await generate(engine, { prompt: prompt(4, 5, 6), maxTokens: 0, promptLogprobs: true });
  expect(heard).toMatchObject({ end: "max-tokens", tokens: [] });
  expect(heard.scores.map(({ token }) => token)).toEqual([4, 5, 6]);
  expect(heard.scores[0]?.logprob).toBe(0);
  expect(heard.scores[1]?.logprob).toBeLessThan(0);
});

test("a prompt that was there before comes from the cache, unless it is salted, bypassed or of another adapter", async () => {
  const request = { prompt: Uint32Array.from({ length: 150 }, (_, i) => (i * 11) % 320), maxTokens: 6, logprobs: true };
  const first = await generate(engine, { ...request, cacheSalt: "first" });
  expect(first.cached).toBe(0);
  expect(engine.load().kvBlocksCached).toBeGreaterThanOrEqual(2);
  expect(await generate(engine, { ...request, cacheSalt: "first" })).toEqual({ ...first, cached: 128 });
  for (const other of [{ cacheSalt: "first\0" }, { cacheSalt: "first", cacheBypass: true }]) {
    expect(await generate(engine, { ...request, ...other })).toEqual(first);
  }
  const adapted = { ...request, cacheSalt: "first", adapterSlot: slots[0] ?? 0 };
  expect((await generate(engine, adapted)).cached).toBe(0);
  expect((await generate(engine, adapted)).cached).toBe(128);
});

test("prefixes outlast the slot of an adapter whose content has a name", async () => {
  const request = { prompt: new Uint32Array(70).fill(9), maxTokens: 2 };
  const serve = async (digest?: string): Promise<number> => {
    const adapter = await engine.openAdapter(`${folder.path}/adapter-1`);
    const adapterSlot = await engine.attachAdapter(adapter, digest);
    adapter.close();
    const { cached } = await generate(engine, { ...request, adapterSlot });
    engine.detachAdapter(adapterSlot);
    return cached;
  };
  expect([await serve("sha256:1"), await serve("sha256:1"), await serve(), await serve()]).toEqual([0, 64, 0, 0]);
});

test("without a prefix cache every prompt is computed", async () => {
  await using plain = await open({ prefixCache: false });
  const request = { prompt: new Uint32Array(70).fill(9), maxTokens: 2 };
  for (let i = 0; i < 2; i++) expect((await generate(plain.engine, request)).cached).toBe(0);
  expect(plain.engine.load().kvBlocksCached).toBe(0);
});

test("a tenant with one request does not wait for all those of another", async () => {
  await using narrow = await open({ maxSequences: 2 });
  const ends: string[] = [];
  const serve = async (tenant: string, maxTokens: number): Promise<void> => {
    await generate(narrow.engine, { prompt: new Uint32Array(8).fill(3), maxTokens, ignoreEos: true, tenant });
    ends.push(tenant);
  };
  await Promise.all([serve("hot", 400), serve("hot", 400), serve("hot", 400), serve("hot", 400), serve("cold", 5)]);
  expect(ends).toEqual(["cold", "hot", "hot", "hot", "hot"]);
});

async function open(options: Partial<NativeOptions>): Promise<{ engine: Engine } & AsyncDisposable> {
  const opened = await openNativeEngine({ modelDir: `${folder.path}/model`, threads: 1, ...options });
  return { engine: opened, [Symbol.asyncDispose]: async () => opened.close() };
}

test("a cancelled sequence hears so and frees its blocks", async () => {
  const heard = await generate(engine, long, (id, { tokens }) => {
    if (tokens.length === 3) engine.cancel(id);
  });
  expect(heard.end).toBe("cancelled");
  expect(heard.tokens.length).toBeLessThan(500);
  expect(engine.load()).toMatchObject({ running: 0, waiting: 0, kvBlocksUsed: 0 });
  engine.cancel(123_456);  // unknown: ignored
});

describe("bad requests are refused by field, before they reach the batch", () => {
  const cases: [string, Partial<EngineRequest>][] = [
    ["prompt", { prompt: prompt() }],
    ["prompt", { prompt: prompt(1, 320) }],
    ["prompt", { prompt: new Uint32Array(512) }],
    ["prompt", { prompt: new Uint32Array(513), maxTokens: 0 }],
    ["resume.token_ids", { resumedTokens: 3 }],
    ["stopping.max_tokens", { maxTokens: 1.5 }],
    ["stopping.max_tokens", { maxTokens: 2 ** 32 }],
    ["stopping.min_tokens", { minTokens: -1 }],
    ["stopping.min_tokens", { minTokens: 501 }],
    ["stopping.stop_token_ids", { stopTokenIds: [320] }],
    ["stopping.stop_token_ids", { stopTokenIds: Array.from({ length: 65 }, () => 1) }],
    ["sampling.top_k", { topK: Number.NaN }],
    ["sampling.temperature", { temperature: -0.1 }],
    ["sampling.temperature", { temperature: Number.NaN }],
    ["sampling.temperature", { temperature: 10.5 }],
    ["sampling.top_p", { topP: 0 }],
    ["sampling.top_p", { topP: 1.1 }],
    ["sampling.min_p", { minP: 1.1 }],
    ["sampling.repetition_penalty", { repetitionPenalty: 0 }],
    ["sampling.frequency_penalty", { frequencyPenalty: 10.1 }],
    ["sampling.presence_penalty", { presencePenalty: -11 }],
    ["sampling.logit_bias", { logitBias: [{ tokenId: 320, bias: 0 }] }],
    ["sampling.logit_bias", { logitBias: [{ tokenId: 0, bias: 101 }] }],
    ["sampling.logit_bias", { logitBias: Array.from({ length: 1025 }, () => ({ tokenId: 0, bias: 1 })) }],
    ["sampling.logit_bias", { logitBias: Array.from({ length: 320 }, (_, tokenId) => ({ tokenId, bias: -100 })) }],
    ["response.top_logprobs", { topLogprobs: 21 }],
    ["qos.priority", { priority: 101 }],
    ["qos.tenant", { tenant: "t".repeat(129) }],
    ["qos.ttft_target_millis", { deadlineMillis: 2 ** 32 }],
    ["cache.salt", { cacheSalt: "s".repeat(257) }],
  ];
  test.each(cases)("%s %o", (field, change) => {
    const submit = (): number => engine.submit({ ...long, ...change }, {} as SequenceListener);
    expect(submit).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT", field }));
    expect(submit).toThrow(EngineError);
    expect(submit).toThrow(field);
  });

  test("an adapter that is not attached", () => {
    expect(() => engine.submit({ ...long, adapterSlot: 77 }, {} as SequenceListener)).toThrow(
      expect.objectContaining({ code: "NOT_FOUND", field: "adapter" }),
    );
    expect(() => engine.detachAdapter(77)).toThrow(expect.objectContaining({ code: "NOT_FOUND" }));
  });
});

test("a listener that throws ends its own sequence only", async () => {
  const other = generate(engine, { ...long, maxTokens: 40 });
  const failed = new Promise<Error>((resolve) => {
    engine.submit(long, {
      started: () => {},
      promptScore: () => {},
      token: () => {
        throw new Error("broken listener");
      },
      finished: () => {},
      failed: resolve,
    });
  });
  expect(await failed).toMatchObject({ code: "INTERNAL", message: "a listener failed: broken listener" });
  expect((await other).tokens).toHaveLength(40);
});

test("while JavaScript is busy, steps gather and nothing is lost", async () => {
  const streams = Array.from({ length: 16 }, () => generate(engine, long));
  // The engine fills its buffer, then waits: its steps come to a halt while this thread does not return.
  const pause = new Int32Array(new SharedArrayBuffer(4));
  let steps = -1;
  for (let still = 0; still < 10; still = engine.load().steps === steps ? still + 1 : 0) {
    steps = engine.load().steps;
    Atomics.wait(pause, 0, 0, 20);
  }
  const heard = await Promise.all(streams);
  const alone = await generate(engine, long);
  for (const one of heard) expect(one).toEqual(alone);
  expect(alone.tokens).toHaveLength(500);
});

test("steps report the load after the listeners of the step", async () => {
  const order: string[] = [];
  engine.onStep((load) => order.push(`step ${load.running}`));
  await generate(engine, { ...long, maxTokens: 2 }, () => order.push("token"));
  await new Promise(setImmediate);
  expect(order.filter((entry) => entry === "token")).toHaveLength(2);
  expect(order.at(-1)).toBe("step 0");
  expect(order[0]).toBe("token");
});

test("a detached adapter serves on until its sequences end, and its memory comes back", async () => {
  const adapter = await engine.openAdapter(`${folder.path}/adapter-1`);
  const before = engine.load().adapterBytesUsed;
  const slot = await engine.attachAdapter(adapter);
  expect(engine.load().adapterBytesUsed).toBe(before + adapter.deviceBytes);
  const request = { ...long, maxTokens: 60, adapterSlot: slot };
  const stream = generate(engine, request);
  engine.detachAdapter(slot);
  expect(() => engine.submit(request, {} as SequenceListener)).toThrow(expect.objectContaining({ code: "NOT_FOUND" }));
  expect((await stream).tokens).toHaveLength(60);
  expect(engine.load().adapterBytesUsed).toBe(before);
});

test("adapters in int8 take a quarter of f32's memory, answer nearly alike, and are the same in any batch", async () => {
  const modelDir = `${folder.path}/model`;
  const int8 = await openNativeEngine({ modelDir, threads: 2, maxSequences: 8, adapterType: "int8" });
  const [adapter, source] = [await int8.openAdapter(`${folder.path}/adapter-2`), await engine.openAdapter(`${folder.path}/adapter-2`)];
  const adapterSlot = await int8.attachAdapter(adapter);
  expect(int8.load().adapterBytesUsed).toBe(adapter.deviceBytes);
  expect(adapter.deviceBytes / source.deviceBytes).toBeLessThan(0.27);

  // What the adapter adds to the log-probability of each token of a prompt, in int8 against f32.
  const scored: EngineRequest = { prompt: prompt(...Array.from({ length: 100 }, (_, i) => (i * 53) % 320)), maxTokens: 1, promptLogprobs: true };
  const scores = async (on: Engine, slot?: number): Promise<number[]> => {
    const heard = await generate(on, slot === undefined ? scored : { ...scored, adapterSlot: slot });
    return heard.scores.map(({ logprob }) => logprob);
  };
  const base = await scores(engine);
  const added = (with_: number[]): number[] => with_.map((score, i) => score - (base[i] ?? Number.NaN));
  const [rounded, exact] = [added(await scores(int8, adapterSlot)), added(await scores(engine, slots[1]))];
  const product = (a: number[], b: number[]): number => a.reduce((sum, value, i) => sum + value * (b[i] ?? Number.NaN), 0);
  expect(rounded).not.toEqual(exact);
  expect(product(rounded, exact) / product(exact, exact)).toBeCloseTo(1, 2);

  const request = { ...long, maxTokens: 20, logprobs: true, adapterSlot };
  const alone = await generate(int8, request);
  const batch = await Promise.all([request, { ...long, maxTokens: 30 }, request].map((it) => generate(int8, it)));
  expect([batch[0]?.tokens, batch[2]?.tokens]).toEqual([alone.tokens, alone.tokens]);
  for (const opened of [adapter, source]) opened.close();
  await int8.close();
});

describe("what cannot be opened is refused by name", () => {
  const open = (options: object): Promise<Engine> => openNativeEngine({ modelDir: `${folder.path}/model`, ...options });
  const cases: [string, object][] = [
    ["scheme", { scheme: "w3" }],
    ["group", { group: 48 }],
    ["head_bits", { headBits: 5 }],
    ["isa", { isa: "mmx" }],
    ["max_context", { maxContext: 513 }],
    ["max_step_tokens", { maxSequences: 64, maxStepTokens: 32 }],
    ["kv_bytes", { kvBytes: 1000 }],
    ["model_dir", { modelDir: "" }],
  ];
  test.each(cases)("option %s", async (field, options) => {
    await expect(open(options)).rejects.toMatchObject({ name: "EngineError", code: "INVALID_ARGUMENT", field });
  });

  test("a folder that is not there", async () => {
    await expect(open({ modelDir: `${folder.path}/none` })).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  test("an adapter of another shape, a corrupt one, and one too large for the budget", async () => {
    await writeTinyAdapter(`${folder.path}/wide`, { shape: { hidden: 128 } });
    await expect(engine.openAdapter(`${folder.path}/wide`)).rejects.toMatchObject({
      code: "FAILED_PRECONDITION",
      field: expect.stringContaining("lora_A"),
    });
    await writeTinyAdapter(`${folder.path}/corrupt`);
    await writeFile(`${folder.path}/corrupt/adapter_model.safetensors`, "not tensors");
    await expect(engine.openAdapter(`${folder.path}/corrupt`)).rejects.toMatchObject({ code: "DATA_LOSS" });

    const small = await open({ adapterBytes: 1000, threads: 1 });
    const adapter = await small.openAdapter(`${folder.path}/adapter-1`);
    await expect(small.attachAdapter(adapter)).rejects.toMatchObject({ code: "RESOURCE_EXHAUSTED" });
    await small.close();
  });
});

test("one number for the memory plans all that a worker holds", async () => {
  const memoryBytes = 1024 ** 3;
  const planned = await openNativeEngine({ modelDir: `${folder.path}/model`, maxSequences: 8, memoryBytes });
  const { weightBytes, kvBytes, adapterBytes, hostAdapterBytes, scratchBytes, processBytes } = planned.info;
  const parts = [weightBytes, kvBytes, adapterBytes, hostAdapterBytes, scratchBytes, processBytes];
  for (const part of parts) expect(part).toBeGreaterThan(0);
  expect(parts.reduce((sum, part) => sum + part)).toBeLessThanOrEqual(memoryBytes);
  await planned.close();
});

test("too little memory is refused with what would do", async () => {
  const memoryBytes = 16 * 1024 ** 2;
  await expect(openNativeEngine({ modelDir: `${folder.path}/model`, memoryBytes })).rejects.toThrow(
    /memory is 16 MiB, at least \d+ MiB are needed: \d+ MiB for weights/,
  );
});

test("a full queue refuses, and the KV budget bounds the context", async () => {
  const small = await openNativeEngine({ modelDir: `${folder.path}/model`, threads: 1, maxSequences: 1, maxQueue: 1, kvBytes: 65536 });
  expect(small.info.contextLength).toBeLessThan(512);
  expect(small.info.contextLength).toBe(small.info.kvBlocks * small.info.kvBlockTokens);
  const first = generate(small, long);
  const second = generate(small, long);
  expect(() => small.submit(long, {} as SequenceListener)).toThrow(
    expect.objectContaining({ code: "RESOURCE_EXHAUSTED", message: expect.stringContaining("queue is full") }),
  );
  expect((await first).end).toBe("context-full");
  expect((await second).end).toBe("context-full");
  await small.close();
});

test("closing fails what runs, and what comes after", async () => {
  const closing = await openNativeEngine({ modelDir: `${folder.path}/model`, threads: 1 });
  const streams = Array.from({ length: 5 }, () => generate(closing, long));
  const opening = closing.openAdapter(`${folder.path}/adapter-1`);
  await Promise.all([closing.close(), closing.close()]);
  for (const stream of streams) expect((await stream).end).toBe("failed: CANCELLED");
  expect((await opening).rank).toBe(4);
  expect(() => closing.submit(long, {} as SequenceListener)).toThrow(EngineError);
  await expect(closing.openAdapter(`${folder.path}/adapter-1`)).rejects.toThrow("closed");
  expect(closing.load().running).toBeGreaterThanOrEqual(0);
});
