import { OnMiss, GenerateRequest as ProtoRequest } from "@polygraft/api";
import { toAdapterRef } from "./adapter-reference.js";
import { float, int32, list, text, uint32, uint64 } from "./encodable.js";
import { PolygraftError } from "./error.js";
import type { ChatMessage, Constraint, GenerateRequest } from "./request.js";

const onMiss = { wait: OnMiss.WAIT, fail: OnMiss.FAIL, base: OnMiss.BASE } as const;

/**
 * Maps a request onto the contract. Only what protobuf cannot carry is refused here (with "INVALID_REQUEST" and the
 * field's name); limits are the server's, so that an older SDK never forbids what a newer server allows.
 */
export function toProtoRequest(request: GenerateRequest, requestId: string): ProtoRequest {
  return ProtoRequest.fromPartial({
    requestId: text("request_id", requestId),
    model: text("model", request.model) ?? "",
    adapter: toAdapter(request.adapter),
    prompt: toPrompt(request),
    sampling: {
      temperature: float("sampling.temperature", request.temperature),
      topK: uint32("sampling.top_k", request.topK),
      topP: float("sampling.top_p", request.topP),
      minP: float("sampling.min_p", request.minP),
      repetitionPenalty: float("sampling.repetition_penalty", request.repetitionPenalty),
      frequencyPenalty: float("sampling.frequency_penalty", request.frequencyPenalty),
      presencePenalty: float("sampling.presence_penalty", request.presencePenalty),
      seed: uint64("sampling.seed", request.seed),
      logitBias: toLogitBias(request.logitBias),
    },
    stopping: {
      maxTokens: uint32("stopping.max_tokens", request.maxTokens),
      minTokens: uint32("stopping.min_tokens", request.minTokens),
      stopTexts: typeof request.stop === "string" ? [request.stop] : list("stopping.stop_texts", text, request.stop),
      stopTokenIds: list("stopping.stop_token_ids", uint32, request.stopTokenIds),
      ignoreEos: request.ignoreEos,
      includeStop: request.includeStop,
    },
    response: {
      logprobs: request.logprobs,
      topLogprobs: uint32("response.top_logprobs", request.topLogprobs),
      promptLogprobs: request.promptLogprobs,
      text: request.returnText,
      tokenIds: request.returnTokenIds,
      coalesceTokens: uint32("response.coalesce_tokens", request.coalesceTokens),
      coalesceMillis: uint32("response.coalesce_millis", request.coalesceMs),
    },
    constraint: request.constraint === undefined ? undefined : toConstraint(request.constraint),
    cache: request.cache,
    routing: request.routing,
    qos: {
      priority: int32("qos.priority", request.priority),
      tenant: request.tenant ?? "",
      ttftTargetMillis: uint32("qos.ttft_target_millis", request.ttftTargetMs),
      itlTargetMillis: uint32("qos.itl_target_millis", request.itlTargetMs),
    },
    onMiss: request.onMiss === undefined ? OnMiss.UNSPECIFIED : onMiss[request.onMiss],
    resume:
      request.resume === undefined
        ? undefined
        : {
            tokenIds: list("resume.token_ids", uint32, request.resume.tokenIds),
            textBytes: uint32("resume.text_bytes", request.resume.textBytes),
          },
  });
}

function toAdapter(adapter: GenerateRequest["adapter"]): ProtoRequest["adapter"] {
  if (adapter === undefined) return undefined;
  const { id, revision, digest } = toAdapterRef(adapter);
  return {
    id: text("adapter.id", id),
    revision: text("adapter.revision", revision),
    digest: text("adapter.digest", digest),
  };
}

function toPrompt({ prompt, addGenerationPrompt }: GenerateRequest): ProtoRequest["prompt"] {
  if (typeof prompt === "string") return { $case: "text", value: prompt };
  if (isMessages(prompt)) return { $case: "chat", value: { messages: [...prompt], addGenerationPrompt } };
  if (Array.isArray(prompt) || prompt instanceof Uint32Array) {
    return { $case: "tokenIds", value: { ids: list("token_ids.ids", uint32, prompt as ArrayLike<number>) } };
  }
  throw new PolygraftError("prompt must be a text, a list of token ids or a list of messages", {
    code: "INVALID_REQUEST",
    status: "INVALID_ARGUMENT",
    fields: [{ field: "prompt", description: "is neither text, token ids nor messages" }],
  });
}

function isMessages(prompt: GenerateRequest["prompt"]): prompt is readonly ChatMessage[] {
  return Array.isArray(prompt) && typeof prompt[0] === "object";
}

function toLogitBias(bias: GenerateRequest["logitBias"]): { tokenId: number; bias: number }[] {
  return Object.entries(bias ?? {}).map(([token, value]) => ({
    tokenId: uint32("sampling.logit_bias.token_id", Number(token)),
    bias: float("sampling.logit_bias.bias", value),
  }));
}

function toConstraint(constraint: Constraint): ProtoRequest["constraint"] {
  if ("jsonSchema" in constraint) {
    const schema = constraint.jsonSchema;
    return { kind: { $case: "jsonSchema", value: typeof schema === "string" ? schema : JSON.stringify(schema) } };
  }
  if ("regex" in constraint) return { kind: { $case: "regex", value: constraint.regex } };
  if ("ebnf" in constraint) return { kind: { $case: "ebnf", value: constraint.ebnf } };
  return { kind: { $case: "choices", value: { texts: [...constraint.choices] } } };
}
