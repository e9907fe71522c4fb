import { GenerateRequest as ProtoRequest } from "@polygraft/api";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PolygraftError } from "./index.js";
import { formatAdapterRef, toAdapterRef } from "./adapter-reference.js";
import { toProtoRequest } from "./request-to-proto.js";
import type { GenerateRequest } from "./index.js";

/** What arrives at the server. */
function sent(request: GenerateRequest): ProtoRequest {
  return ProtoRequest.decode(ProtoRequest.encode(toProtoRequest(request, "r")).finish());
}

describe("a prompt", () => {
  test("is text", () => {
    expect(sent({ prompt: "" }).prompt).toEqual({ $case: "text", value: "" });
  });
  test("is a list of token ids, of either kind", () => {
    const expected = { $case: "tokenIds", value: { ids: [1, 2] } };
    expect(sent({ prompt: [1, 2] }).prompt).toEqual(expected);
    expect(sent({ prompt: new Uint32Array([1, 2]) }).prompt).toEqual(expected);
  });
  test("is a list of messages", () => {
    const messages = [{ role: "user", content: "hi" }];
    expect(sent({ prompt: messages, addGenerationPrompt: false }).prompt).toEqual({
      $case: "chat",
      value: { messages, addGenerationPrompt: false },
    });
  });
  test("is nothing else", () => {
    expect(() => sent({ prompt: 7 as unknown as string })).toThrow(PolygraftError);
  });
});

test("what is not said is not sent, so that the server's defaults hold", () => {
  const { sampling, stopping, response, qos, constraint, resume, adapter } = sent({ prompt: "x" });
  expect([constraint, resume, adapter]).toEqual([undefined, undefined, undefined]);
  const { logitBias, ...numbers } = sampling!;
  expect(logitBias).toEqual([]);
  const optional = [...Object.values(numbers), stopping?.maxTokens, ...Object.values(response!), qos?.priority];
  expect(new Set(optional)).toEqual(new Set([undefined]));
});

test("every field arrives", () => {
  expect(
    sent({
      prompt: "x",
      model: "base",
      adapter: { id: "a", revision: "r", digest: "sha256:00" },
      temperature: 0.5,
      topK: 40,
      topP: 0.75,
      minP: 0.25,
      repetitionPenalty: 1.5,
      frequencyPenalty: -1,
      presencePenalty: 1,
      seed: 2n ** 64n - 1n,
      logitBias: { 7: -100 },
      maxTokens: 0,
      minTokens: 1,
      stop: ["a", "b"],
      stopTokenIds: [3],
      ignoreEos: true,
      includeStop: false,
      logprobs: true,
      topLogprobs: 2,
      promptLogprobs: true,
      returnText: false,
      returnTokenIds: true,
      coalesceTokens: 4,
      coalesceMs: 50,
      constraint: { jsonSchema: { type: "object" } },
      cache: { salt: "s", bypass: true },
      routing: { key: "k", worker: "w", explain: true, failover: false },
      priority: -5,
      tenant: "t",
      ttftTargetMs: 100,
      itlTargetMs: 10,
      onMiss: "base",
      resume: { tokenIds: [1], textBytes: 3 },
    }),
  ).toEqual({
    requestId: "r",
    model: "base",
    adapter: { id: "a", revision: "r", digest: "sha256:00" },
    prompt: { $case: "text", value: "x" },
    sampling: {
      temperature: 0.5,
      topK: 40,
      topP: 0.75,
      minP: 0.25,
      repetitionPenalty: 1.5,
      frequencyPenalty: -1,
      presencePenalty: 1,
      seed: 2n ** 64n - 1n,
      logitBias: [{ tokenId: 7, bias: -100 }],
    },
    stopping: { maxTokens: 0, minTokens: 1, stopTexts: ["a", "b"], stopTokenIds: [3], ignoreEos: true, includeStop: false },
    response: {
      logprobs: true,
      topLogprobs: 2,
      promptLogprobs: true,
      text: false,
      tokenIds: true,
      coalesceTokens: 4,
      coalesceMillis: 50,
    },
    constraint: { kind: { $case: "jsonSchema", value: '{"type":"object"}' } },
    cache: { salt: "s", bypass: true },
    routing: { key: "k", worker: "w", explain: true, failover: false },
    qos: { priority: -5, tenant: "t", ttftTargetMillis: 100, itlTargetMillis: 10 },
    onMiss: 3,
    resume: { tokenIds: [1], textBytes: 3 },
  });
});

test.for<[string, Partial<GenerateRequest>]>([
  ["sampling.seed", { seed: 2 ** 53 }],
  ["sampling.seed", { seed: -1n }],
  ["sampling.seed", { seed: 1n << 64n }],
  ["sampling.temperature", { temperature: NaN }],
  ["sampling.top_k", { topK: 1.5 }],
  ["stopping.max_tokens", { maxTokens: 2 ** 32 }],
  ["stopping.stop_token_ids[1]", { stopTokenIds: [1, -1] }],
  ["token_ids.ids[0]", { prompt: [-3] }],
  ["qos.priority", { priority: 2 ** 31 }],
  ["adapter.id", { adapter: { id: 7 as unknown as string } }],
])("%s is refused when protobuf cannot carry it", ([field, part]) => {
  expect(() => sent({ prompt: "x", ...part })).toThrow(expect.objectContaining({ fields: [expect.objectContaining({ field })] }));
});

test("limits are left to the server", () => {
  expect(sent({ prompt: "x", temperature: 99, topLogprobs: 1000 }).sampling?.temperature).toBe(99);
});

test("an adapter reference survives being written and read", () => {
  const name = fc.string({ minLength: 1 }).filter((text) => !text.includes("@"));
  fc.assert(
    fc.property(name, fc.string(), (id, revision) => {
      expect(toAdapterRef(formatAdapterRef({ id, revision }))).toEqual({ id, revision, digest: "" });
    }),
  );
  expect(toAdapterRef("hf://org/repo@refs/pr/1")).toEqual({ id: "hf://org/repo", revision: "refs/pr/1", digest: "" });
  expect(toAdapterRef("@scope")).toEqual({ id: "@scope", revision: "", digest: "" });
});
