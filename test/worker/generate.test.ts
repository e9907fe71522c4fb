import { FinishReason, Tier } from "@polygraft/api";
import { Metadata, Status } from "nice-grpc";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { collect, request, temporaryWorker, type Output, type TemporaryWorker } from "../support/worker-fixture.js";

let tiny: TemporaryWorker;
beforeAll(async () => {
  tiny = await temporaryWorker({ a: { seed: 1 }, b: { seed: 2, rank: 4, targets: ["o_proj", "down_proj"] } });
});
afterAll(async () => tiny[Symbol.asyncDispose]());

type Request = ReturnType<typeof request>;

const generate = async (wanted: Request): Promise<Output> => collect(tiny.inference.generate(wanted));

const deltasOf = ({ events }: Output) => events.flatMap(({ event }) => (event?.$case === "delta" ? [event.value] : []));

describe("the stream", () => {
  test("is accepted, deltas, finished", async () => {
    const { accepted, finished, text, tokenIds, events } = await generate(request("hello"));
    expect(accepted).toMatchObject({ worker: "worker-1", model: "tiny", adapter: undefined, promptTokens: 1 });
    expect(accepted?.tier).toBe(Tier.UNSPECIFIED);
    expect(tokenIds).toHaveLength(12);
    expect(text.length).toBeGreaterThan(0);
    expect(finished).toMatchObject({
      reason: FinishReason.MAX_TOKENS,
      usage: { promptTokens: 1, cachedTokens: 0, outputTokens: 12 },
    });
    expect(events.slice(1, -1).every(({ event }) => event?.$case === "delta")).toBe(true);
  });

  test("counts the prompt tokens that came from the cache", async () => {
    const ids = Array.from({ length: 100 }, (_, i) => (i * 17) % 300);
    const wanted = request({ $case: "tokenIds", value: { ids } });
    const [first, again] = [await generate(wanted), await generate(wanted)];
    expect(again.tokenIds).toEqual(first.tokenIds);
    expect([first.accepted?.cachedTokens, again.accepted?.cachedTokens]).toEqual([0, 64]);
    expect(again.finished?.usage).toMatchObject({ promptTokens: 100, cachedTokens: 64 });
    expect((await generate({ ...wanted, cache: { bypass: true } })).accepted?.cachedTokens).toBe(0);
  });

  test("names the worker and its weights in its headers, and goes on from no others", async () => {
    let worker: string | undefined;
    let weights = "";
    const onHeader = (header: Metadata) => {
      worker = header.get("polygraft-worker");
      weights = header.get("polygraft-weights") ?? "";
    };
    await collect(tiny.inference.generate(request("hello"), { onHeader }));
    expect(worker).toBe("worker-1");
    expect(weights).toMatch(/^sha256:[0-9a-f]{64}$/);
    const goOn = (digest: string) => collect(tiny.inference.generate(request("hello"), { metadata: Metadata({ "polygraft-weights": digest }) }));
    expect((await goOn(weights)).tokenIds).toHaveLength(12);
    const others = `sha256:${"0".repeat(64)}`;
    await expect(goOn(others)).rejects.toMatchObject({ code: Status.UNAVAILABLE, details: expect.stringContaining(others) });
  });

  test("is the same for text and for its token ids", async () => {
    const { tokenIds } = await generate(request("hello the world"));
    const ids = [311, 264, 269, 276, 111, 103];
    expect((await generate(request({ $case: "tokenIds", value: { ids } }))).tokenIds).toEqual(tokenIds);
  });

  test("of a conversation is that of the rendered template", async () => {
    const messages = [{ role: "user", content: "hello" }];
    const chat = request({ $case: "chat", value: { messages } });
    const rendered = "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n";
    expect((await generate(chat)).tokenIds).toEqual((await generate(request(rendered))).tokenIds);
  });

  test("carries what was asked for and nothing else", async () => {
    const whole = await generate(request("hello"));
    const idsOnly = await generate(request("hello", { response: { text: false } }));
    expect([idsOnly.text, idsOnly.tokenIds]).toEqual(["", whole.tokenIds]);
    const textOnly = await generate(request("hello", { response: { tokenIds: false } }));
    expect([textOnly.text, textOnly.tokenIds]).toEqual([whole.text, []]);
  });

  test("waits for more tokens where that is asked for", async () => {
    const output = await generate(request("hello", { response: { coalesceTokens: 5, coalesceMillis: 10_000 } }));
    const sizes = deltasOf(output).map(({ tokenIds }) => tokenIds.length);
    // Steps that this thread was late to see arrive together, so a delta can hold more.
    for (const size of sizes.slice(0, -1)) expect(size).toBeGreaterThanOrEqual(5);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(12);
  });
});

describe("adapters", () => {
  test("change the output, and are told by digest and tier", async () => {
    const base = await generate(request("hello"));
    const first = await generate(request("hello", { adapter: { id: "a" } }));
    const again = await generate(request("hello", { adapter: { id: "a" } }));
    const other = await generate(request("hello", { adapter: { id: "b" } }));
    expect(first.accepted).toMatchObject({ adapter: { id: "a", revision: "" }, tier: Tier.DISK, fellBackToBase: false });
    expect(first.accepted?.adapter?.digest).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(first.accepted?.adapterWaitMicros).toBeGreaterThan(0);
    expect(again.accepted?.tier).toBe(Tier.DEVICE);
    expect(again.tokenIds).toEqual(first.tokenIds);
    expect(new Set([base, first, other].map(({ tokenIds }) => tokenIds.join())).size).toBe(3);
  });
});

describe("log-probabilities", () => {
  test("come for each token, with the best alternatives", async () => {
    const output = await generate(request("hello", { response: { logprobs: true, topLogprobs: 3 } }));
    const scores = deltasOf(output).flatMap(({ logprobs }) => logprobs);
    expect(scores.map(({ tokenId }) => tokenId)).toEqual(output.tokenIds);
    for (const { tokenId, logprob, top } of scores) {
      expect(top).toHaveLength(3);
      expect(top[0]).toEqual({ tokenId, logprob }); // greedy takes the best
      expect(logprob).toBeLessThanOrEqual(0);
    }
  });

  test("of a prompt come before the output, from the first token on", async () => {
    const output = await generate(request("hello the world", { response: { promptLogprobs: true }, stopping: { maxTokens: 2 } }));
    const parts = output.events.flatMap(({ event }) => (event?.$case === "promptScores" ? [event.value] : []));
    expect(parts[0]?.start).toBe(0);
    expect(parts.flatMap(({ tokens }) => tokens.map(({ tokenId }) => tokenId))).toEqual([311, 264, 269, 276, 111, 103]);
    expect(parts[0]?.tokens[0]?.logprob).toBe(0);
    expect(output.events.findIndex(({ event }) => event?.$case === "delta")).toBeGreaterThan(parts.length);
  });

  test("of a prompt alone need no output", async () => {
    const output = await generate(request("hello the", { response: { promptLogprobs: true }, stopping: { maxTokens: 0 } }));
    expect(output.tokenIds).toEqual([]);
    expect(output.finished).toMatchObject({ reason: FinishReason.MAX_TOKENS, usage: { outputTokens: 0 } });
  });
});

describe("the end", () => {
  test("before a stop text, wherever tokens cut it", async () => {
    const whole = await generate(request("hello"));
    for (let at = 1; at + 2 <= whole.text.length; at++) {
      const stop = whole.text.slice(at, at + 2);
      if (stop.includes("\u{fffd}")) continue;
      const { text, finished } = await generate(request("hello", { stopping: { stopTexts: [stop] } }));
      expect(text).toBe(whole.text.slice(0, whole.text.indexOf(stop)));
      expect(finished).toMatchObject({ reason: FinishReason.STOP_TEXT, stopText: stop });
    }
  });

  test("with the stop text, where that is asked for", async () => {
    const whole = await generate(request("hello"));
    const stop = whole.text.slice(2, 4);
    const { text } = await generate(request("hello", { stopping: { stopTexts: [stop], includeStop: true } }));
    expect(text).toBe(whole.text.slice(0, whole.text.indexOf(stop) + 2));
  });

  test("at a stop token, which is told but not sent", async () => {
    const whole = await generate(request("hello"));
    const stop = whole.tokenIds[5] as number;
    const first = whole.tokenIds.indexOf(stop);
    const { tokenIds, finished } = await generate(request("hello", { stopping: { stopTokenIds: [stop] } }));
    expect(tokenIds).toEqual(whole.tokenIds.slice(0, first));
    expect(finished).toMatchObject({ reason: FinishReason.STOP_TOKEN, stopTokenId: stop, usage: { outputTokens: first + 1 } });
    const included = await generate(request("hello", { stopping: { stopTokenIds: [stop], includeStop: true } }));
    expect(included.tokenIds).toEqual(whole.tokenIds.slice(0, first + 1));
    expect(whole.text.startsWith(included.text)).toBe(true);
  });

  test("not before the fewest tokens", async () => {
    const whole = await generate(request("hello"));
    const [stop] = whole.tokenIds;
    const { tokenIds } = await generate(request("hello", { stopping: { stopTokenIds: [stop as number], minTokens: 4 } }));
    expect(tokenIds.length).toBeGreaterThanOrEqual(4);
    expect(tokenIds).toEqual(whole.tokenIds.slice(0, tokenIds.length));
  });

  test("when the context is full", async () => {
    const prompt = "a".repeat(505);
    const asked = await generate(request(prompt, { stopping: { maxTokens: 100 } }));
    expect(asked.finished).toMatchObject({ reason: FinishReason.CONTEXT_FULL, usage: { promptTokens: 505, outputTokens: 7 } });
    const unbounded = { ...request(prompt), stopping: { ignoreEos: true } };
    expect((await generate(unbounded)).finished).toMatchObject({ reason: FinishReason.MAX_TOKENS, usage: { outputTokens: 7 } });
  });
});

describe("seeds", () => {
  const sampled = (seed?: bigint) => request("hello", { sampling: { temperature: 1.5, topP: 0.95, ...(seed !== undefined && { seed }) } });

  test("of the same value give the same tokens, of others others", async () => {
    const outputs = await Promise.all([7n, 7n, 8n].map(async (seed) => generate(sampled(seed))));
    expect(outputs[0]?.tokenIds).toEqual(outputs[1]?.tokenIds);
    expect(outputs[0]?.tokenIds).not.toEqual(outputs[2]?.tokenIds);
  });

  test("that the worker drew are told, and repeat the output", async () => {
    const one = await generate(sampled());
    expect(one.accepted?.seed).not.toBe(0n);
    expect((await generate(sampled(one.accepted?.seed))).tokenIds).toEqual(one.tokenIds);
  });
});

describe("resumed streams", () => {
  test.each([
    ["greedy", request("hello", { adapter: { id: "a" }, response: { logprobs: true } })],
    ["seeded", request("hello", { sampling: { temperature: 1.2, seed: 5n, repetitionPenalty: 1.3 }, response: { logprobs: true } })],
  ])("%s, from every delta on, go on as if undisturbed", async (_, wanted) => {
    const whole = await generate(wanted);
    let had = { tokenIds: [] as number[], text: "", logprobs: 0 };
    for (const delta of deltasOf(whole)) {
      had = { tokenIds: [...had.tokenIds, ...delta.tokenIds], text: had.text + delta.text, logprobs: had.logprobs + delta.logprobs.length };
      const resume = { tokenIds: had.tokenIds, textBytes: Buffer.byteLength(had.text) };
      const rest = await generate({ ...wanted, resume });
      expect([...had.tokenIds, ...rest.tokenIds]).toEqual(whole.tokenIds);
      expect(had.text + rest.text).toBe(whole.text);
      expect(rest.logprobs).toEqual(whole.logprobs.slice(had.logprobs));
      expect(rest.finished?.usage).toEqual(whole.finished?.usage);
    }
  });

  test("whose output already ends in a stop text end at once", async () => {
    const whole = await generate(request("hello"));
    const stop = whole.text.slice(2, 4);
    const cut = whole.text.indexOf(stop);
    const resume = { tokenIds: whole.tokenIds, textBytes: 0 };
    const { text, finished } = await generate(request("hello", { stopping: { stopTexts: [stop] }, resume }));
    expect([text, finished?.reason]).toEqual([whole.text.slice(0, cut), FinishReason.STOP_TEXT]);
  });

  test("cannot have had more text than their tokens give", async () => {
    const resume = { tokenIds: [311], textBytes: 6 };
    await expect(generate(request("hello", { resume }))).rejects.toMatchObject({ code: 3, details: expect.stringContaining("resume.text_bytes") });
  });
});
