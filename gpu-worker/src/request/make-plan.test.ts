import { GenerateRequest } from "@polygraft/api";
import { BadRequest } from "nice-grpc-error-details";
import { expect, test } from "vitest";
import { Failure } from "../failure.js";
import { makePlan } from "./make-plan.js";

const MODEL = { name: "tiny", vocabularySize: 320 };
const BASE = { prompt: { $case: "text", value: "hello" } } as const;

type PartialRequest = Parameters<typeof GenerateRequest.fromPartial>[0];

function plan(request: PartialRequest) {
  return makePlan(GenerateRequest.fromPartial({ ...BASE, ...request }), MODEL);
}

function failureOf(request: PartialRequest): Failure {
  try {
    plan(request);
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  throw new Error("was accepted");
}

function fieldsOf(failure: Failure): string[] {
  return failure.extra
    .filter((detail): detail is BadRequest => detail.$type === BadRequest.$type)
    .flatMap(({ fieldViolations }) => fieldViolations.map(({ field }) => field));
}

test("absent fields have the contract's defaults", () => {
  expect(plan({})).toMatchObject({
    engine: {
      temperature: 0,
      topK: 0,
      topP: 1,
      minP: 0,
      repetitionPenalty: 1,
      frequencyPenalty: 0,
      presencePenalty: 0,
      minTokens: 0,
      ignoreEos: false,
      logprobs: false,
      promptLogprobs: false,
      topLogprobs: 0,
      priority: 0,
      tenant: "",
      cacheSalt: "",
      cacheBypass: false,
    },
    maxTokens: undefined,
    includeStop: false,
    text: true,
    tokenIds: true,
    coalesceTokens: 1,
    coalesceMillis: 100,
    seed: 0n,
  });
});

test("a sampled request without a seed gets one, a request without an id as well", () => {
  const [one, two] = [plan({ sampling: { temperature: 1 } }), plan({ sampling: { temperature: 1 } })];
  expect(one.seed).not.toBe(two.seed);
  expect(one.requestId).not.toBe(two.requestId);
  expect(makePlan(GenerateRequest.fromPartial(BASE), MODEL, "from-router").requestId).toBe("from-router");
});

const OUT_OF_RANGE: [string, PartialRequest][] = [
  ["prompt", { prompt: undefined }],
  ["text", { prompt: { $case: "text", value: "" } }],
  ["token_ids.ids", { prompt: { $case: "tokenIds", value: { ids: [] } } }],
  ["token_ids.ids", { prompt: { $case: "tokenIds", value: { ids: [1, 320] } } }],
  ["chat.messages", { prompt: { $case: "chat", value: { messages: [] } } }],
  ["request_id", { requestId: "x".repeat(129) }],
  ["request_id", { requestId: "é" }],
  ["request_id", { requestId: "a\nb" }],
  ["sampling.temperature", { sampling: { temperature: -0.1 } }],
  ["sampling.temperature", { sampling: { temperature: 10.5 } }],
  ["sampling.temperature", { sampling: { temperature: Number.NaN } }],
  ["sampling.top_p", { sampling: { topP: 0 } }],
  ["sampling.top_p", { sampling: { topP: 1.5 } }],
  ["sampling.min_p", { sampling: { minP: -1 } }],
  ["sampling.min_p", { sampling: { minP: Number.POSITIVE_INFINITY } }],
  ["sampling.repetition_penalty", { sampling: { repetitionPenalty: 0 } }],
  ["sampling.repetition_penalty", { sampling: { repetitionPenalty: 11 } }],
  ["sampling.frequency_penalty", { sampling: { frequencyPenalty: -11 } }],
  ["sampling.presence_penalty", { sampling: { presencePenalty: 11 } }],
  ["sampling.logit_bias", { sampling: { logitBias: Array.from({ length: 1025 }, () => ({ tokenId: 0, bias: 0 })) } }],
  ["sampling.logit_bias[0].token_id", { sampling: { logitBias: [{ tokenId: 320, bias: 0 }] } }],
  ["sampling.logit_bias[1].bias", { sampling: { logitBias: [{ tokenId: 0 }, { tokenId: 1, bias: 101 }] } }],
  ["stopping.min_tokens", { stopping: { minTokens: 257 } }],
  ["stopping.min_tokens", { stopping: { minTokens: 5, maxTokens: 4 } }],
  ["stopping.stop_texts", { stopping: { stopTexts: Array.from({ length: 17 }, () => "x") } }],
  ["stopping.stop_texts[1]", { stopping: { stopTexts: ["x", "é".repeat(129)] } }],
  ["stopping.stop_token_ids", { stopping: { stopTokenIds: Array.from({ length: 65 }, () => 1) } }],
  ["stopping.stop_token_ids", { stopping: { stopTokenIds: [400] } }],
  ["response.top_logprobs", { response: { topLogprobs: 21 } }],
  ["response.coalesce_tokens", { response: { coalesceTokens: 0 } }],
  ["response.coalesce_tokens", { response: { coalesceTokens: 1025 } }],
  ["response.coalesce_millis", { response: { coalesceMillis: 10_001 } }],
  ["qos.priority", { qos: { priority: 101 } }],
  ["qos.tenant", { qos: { tenant: "é".repeat(65) } }],
  ["cache.salt", { cache: { salt: "é".repeat(129) } }],
  ["qos.priority", { qos: { priority: -101 } }],
  ["resume.token_ids", { resume: { tokenIds: [999] } }],
  ["sampling.seed", { resume: { tokenIds: [1] }, sampling: { temperature: 1 } }],
];

test.each(OUT_OF_RANGE)("%s is named in %j", (field, request) => {
  const failure = failureOf(request);
  expect(failure.reason).toBe("INVALID_FIELD");
  expect(fieldsOf(failure)).toEqual([field]);
});

test("the borders of the ranges are inside", () => {
  const sampling = { temperature: 10, topP: 1, minP: 1, repetitionPenalty: 10, frequencyPenalty: -10, presencePenalty: 10 };
  const stopping = { maxTokens: 0, stopTexts: ["é".repeat(128)], stopTokenIds: [319] };
  const response = { topLogprobs: 20, coalesceTokens: 1024, coalesceMillis: 10_000 };
  const logitBias = [{ tokenId: 319, bias: -100 }];
  expect(() => plan({ sampling: { ...sampling, logitBias }, stopping, response, qos: { priority: -100 } })).not.toThrow();
});

test("all fields at fault are named at once, with the limit", () => {
  const failure = failureOf({ sampling: { temperature: 11, topP: 2 }, qos: { priority: 200 } });
  expect(fieldsOf(failure).sort()).toEqual(["qos.priority", "sampling.temperature", "sampling.top_p"]);
  expect(failure.details).toContain("sampling.top_p: is 2; allowed is above 0 to 1");
});

test.each([
  [{ model: "other" }, "MODEL_NOT_FOUND"],
  [{ constraint: { kind: { $case: "regex", value: "a" } } }, "UNSUPPORTED_FEATURE"],
] as const)("%j is %s", (request, reason) => {
  expect(failureOf(request).reason).toBe(reason);
});

test("a resumed stream does not send the prompt's scores again", () => {
  const response = { promptLogprobs: true };
  expect(plan({ response }).engine.promptLogprobs).toBe(true);
  expect(plan({ response, resume: { tokenIds: [5] } }).engine.promptLogprobs).toBe(false);
});
