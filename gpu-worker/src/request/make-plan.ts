import { randomBytes, randomUUID } from "node:crypto";
import type { GenerateRequest, LogitBias, ResponseOptions, SamplingOptions, StoppingOptions } from "@polygraft/api";
import { Failure } from "../failure.js";
import { Checks } from "./checks.js";
import type { Plan, ServedModel } from "./plan.js";

/** Tokens that a generation has unless told otherwise. */
export const DEFAULT_MAX_TOKENS = 256;

const MAX_REQUEST_ID_BYTES = 128;
const MAX_STOP_TEXTS = 16;
const MAX_STOP_TEXT_BYTES = 256;
const MAX_STOP_TOKENS = 64;
const MAX_BIASES = 1024;
const MAX_TOP_LOGPROBS = 20;
const MAX_SALT_BYTES = 256;
const MAX_TENANT_BYTES = 128;
const UINT32_MAX = 0xffff_ffff;

// An absent message means the same as an empty one.
const NO_SAMPLING: SamplingOptions = { logitBias: [] };
const NO_STOPPING: StoppingOptions = { stopTexts: [], stopTokenIds: [] };
const NO_RESPONSE: ResponseOptions = {};

/**
 * Checks a request against the ranges of the contract. Throws one failure that names every field at fault.
 * `requestId` is used where the request names none.
 */
export function makePlan(request: GenerateRequest, model: ServedModel, requestId?: string): Plan {
  const { sampling = NO_SAMPLING, stopping = NO_STOPPING, response = NO_RESPONSE, resume, qos, cache } = request;
  assertModel(request.model, model.name);
  assertSupported(request);
  const checks = new Checks();
  const prompt = checkPrompt(checks, request.prompt, model);
  const id = request.requestId || requestId || randomUUID();
  checks.require(isRequestId(id), "request_id", `must be at most ${MAX_REQUEST_ID_BYTES} bytes of printable ASCII`);
  const resumedIds = resume?.tokenIds ?? [];
  checks.tokens("resume.token_ids", resumedIds, model.vocabularySize);
  const temperature = checks.number("sampling.temperature", sampling.temperature, { min: 0, max: 10 }, 0);
  const resumable = resumedIds.length === 0 || temperature === 0 || sampling.seed !== undefined;
  checks.require(resumable, "sampling.seed", "must be set to resume a sampled stream: take it from Accepted.seed");
  const seed = sampling.seed ?? (temperature > 0 ? randomBytes(8).readBigUInt64LE() : 0n);
  const topLogprobs = checks.number("response.top_logprobs", response.topLogprobs, { min: 0, max: MAX_TOP_LOGPROBS }, 0);
  const coalesceTokens = checks.number("response.coalesce_tokens", response.coalesceTokens, { min: 1, max: 1024 }, 1);
  const coalesceMillis = checks.number("response.coalesce_millis", response.coalesceMillis, { min: 0, max: 10_000 }, 100);
  const priority = checks.number("qos.priority", qos?.priority, { min: -100, max: 100 }, 0);
  const tenant = checks.bytes("qos.tenant", qos?.tenant, MAX_TENANT_BYTES);
  const cacheSalt = checks.bytes("cache.salt", cache?.salt, MAX_SALT_BYTES);
  const minTokens = checkStopping(checks, stopping, model);
  const engine = {
    ...checkSampling(checks, sampling, model),
    temperature,
    seed,
    minTokens,
    stopTokenIds: stopping.stopTokenIds,
    ignoreEos: stopping.ignoreEos ?? false,
    logprobs: response.logprobs ?? false,
    // The scores were sent before the stream broke off.
    promptLogprobs: (response.promptLogprobs ?? false) && resumedIds.length === 0,
    topLogprobs,
    priority,
    tenant,
    cacheSalt,
    cacheBypass: cache?.bypass ?? false,
  };
  checks.done();
  return {
    requestId: id,
    prompt,
    adapter: request.adapter,
    onMiss: request.onMiss,
    engine,
    maxTokens: stopping.maxTokens,
    minTokens,
    stopTexts: stopping.stopTexts.filter((text) => text.length > 0),
    includeStop: stopping.includeStop ?? false,
    text: response.text ?? true,
    tokenIds: response.tokenIds ?? true,
    coalesceTokens,
    coalesceMillis,
    seed,
    resumedIds,
    resumedBytes: resume?.textBytes ?? 0,
    ttftTargetMillis: qos?.ttftTargetMillis,
  };
}

function assertModel(asked: string, served: string): void {
  if (asked === "" || asked === served) return;
  const message = `there is no model ${JSON.stringify(asked)}; this worker serves ${JSON.stringify(served)}`;
  throw new Failure("MODEL_NOT_FOUND", message, { metadata: { model: asked } });
}

function assertSupported({ constraint }: GenerateRequest): void {
  if (constraint?.kind === undefined) return;
  const message = "constraint: this worker cannot restrict the output to a grammar; leave the field out";
  throw new Failure("UNSUPPORTED_FEATURE", message, { metadata: { field: "constraint" } });
}

function checkPrompt(checks: Checks, prompt: GenerateRequest["prompt"], model: ServedModel): Plan["prompt"] {
  switch (prompt?.$case) {
    case "text":
      checks.require(prompt.value.length > 0, "text", "must not be empty");
      return prompt;
    case "tokenIds":
      checks.require(prompt.value.ids.length > 0, "token_ids.ids", "must not be empty");
      checks.tokens("token_ids.ids", prompt.value.ids, model.vocabularySize);
      return prompt;
    case "chat":
      checks.require(prompt.value.messages.length > 0, "chat.messages", "must hold at least one message");
      return prompt;
    default:
      checks.require(false, "prompt", "one of text, token_ids and chat is required");
      return { $case: "text", value: "" };
  }
}

function checkStopping(checks: Checks, stopping: StoppingOptions, { vocabularySize }: ServedModel): number {
  const { stopTexts, stopTokenIds } = stopping;
  const most = checks.number("stopping.max_tokens", stopping.maxTokens, { min: 0, max: UINT32_MAX }, DEFAULT_MAX_TOKENS);
  const fewest = checks.number("stopping.min_tokens", stopping.minTokens, { min: 0, max: UINT32_MAX }, 0);
  checks.require(fewest <= most, "stopping.min_tokens", `is ${fewest}, which is more than stopping.max_tokens, ${most}`);
  checks.count("stopping.stop_texts", stopTexts, MAX_STOP_TEXTS);
  for (const [index, text] of stopTexts.entries()) {
    const bytes = Buffer.byteLength(text);
    const field = `stopping.stop_texts[${index}]`;
    checks.require(bytes <= MAX_STOP_TEXT_BYTES, field, `has ${bytes} bytes; at most ${MAX_STOP_TEXT_BYTES} are allowed`);
  }
  checks.count("stopping.stop_token_ids", stopTokenIds, MAX_STOP_TOKENS);
  checks.tokens("stopping.stop_token_ids", stopTokenIds, vocabularySize);
  return fewest;
}

function checkSampling(checks: Checks, sampling: SamplingOptions, { vocabularySize }: ServedModel) {
  const number = (name: keyof SamplingOptions, field: string, min: number, max: number, fallback: number, above?: true) =>
    checks.number(`sampling.${field}`, sampling[name] as number | undefined, { min, max, ...(above && { above }) }, fallback);
  return {
    topK: number("topK", "top_k", 0, UINT32_MAX, 0),
    topP: number("topP", "top_p", 0, 1, 1, true),
    minP: number("minP", "min_p", 0, 1, 0),
    repetitionPenalty: number("repetitionPenalty", "repetition_penalty", 0, 10, 1, true),
    frequencyPenalty: number("frequencyPenalty", "frequency_penalty", -10, 10, 0),
    presencePenalty: number("presencePenalty", "presence_penalty", -10, 10, 0),
    logitBias: checkBiases(checks, sampling.logitBias, vocabularySize),
  };
}

function checkBiases(checks: Checks, biases: readonly LogitBias[], vocabulary: number): readonly LogitBias[] {
  checks.count("sampling.logit_bias", biases, MAX_BIASES);
  for (const [index, { tokenId, bias }] of biases.slice(0, MAX_BIASES).entries()) {
    const field = `sampling.logit_bias[${index}]`;
    checks.tokens(`${field}.token_id`, [tokenId], vocabulary);
    checks.number(`${field}.bias`, bias, { min: -100, max: 100 }, 0);
  }
  return biases;
}

function isRequestId(id: string): boolean {
  return id.length <= MAX_REQUEST_ID_BYTES && /^[\x20-\x7e]*$/.test(id);
}
