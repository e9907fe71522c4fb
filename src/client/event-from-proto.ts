import { FinishReason as ProtoReason, Tier as ProtoTier } from "@polygraft/api";
import type { Accepted, Finished, GenerateResponse } from "@polygraft/api";
import type { AcceptedEvent, FinishReason, FinishedEvent, GenerationEvent, Tier } from "./events.js";

const reasons: Readonly<Record<number, FinishReason>> = {
  [ProtoReason.STOP_TOKEN]: "stop-token",
  [ProtoReason.STOP_TEXT]: "stop-text",
  [ProtoReason.MAX_TOKENS]: "max-tokens",
  [ProtoReason.CONTEXT_FULL]: "context-full",
};

const tiers: Readonly<Record<number, Tier>> = {
  [ProtoTier.DEVICE]: "device",
  [ProtoTier.HOST]: "host",
  [ProtoTier.DISK]: "disk",
  [ProtoTier.SOURCE]: "source",
};

const nobody = { id: "", revision: "", digest: "" };

/** Names a tier of the contract; undefined for none and for tiers that this SDK does not know. */
export function tierFromProto(tier: ProtoTier): Tier | undefined {
  return tiers[tier];
}

/** Turns a message into an event; undefined for kinds of events that this SDK does not know yet. */
export function eventFromProto(message: GenerateResponse, attempt: number): GenerationEvent | undefined {
  const event = message.event;
  switch (event?.$case) {
    case "accepted":
      return accepted(event.value, attempt);
    case "promptScores":
      return { type: "prompt-scores", start: event.value.start, tokens: event.value.tokens };
    case "delta":
      return { type: "delta", text: event.value.text, tokenIds: event.value.tokenIds, logprobs: event.value.logprobs };
    case "adapterChanged":
      return { type: "adapter-changed", adapter: event.value.adapter ?? nobody, outputTokens: event.value.outputTokens };
    case "finished":
      return finished(event.value);
    case undefined:
      return undefined;
  }
}

function accepted(message: Accepted, attempt: number): AcceptedEvent {
  const tier = tierFromProto(message.tier);
  return {
    type: "accepted",
    requestId: message.requestId,
    worker: message.worker,
    model: message.model,
    ...(message.adapter === undefined ? {} : { adapter: message.adapter }),
    ...(tier === undefined ? {} : { tier }),
    fellBackToBase: message.fellBackToBase,
    queueMs: message.queueMicros / 1000,
    adapterWaitMs: message.adapterWaitMicros / 1000,
    promptTokens: message.promptTokens,
    cachedTokens: message.cachedTokens,
    seed: message.seed,
    attempt,
  };
}

function finished(message: Finished): FinishedEvent {
  const { usage, timings } = message;
  return {
    type: "finished",
    reason: reasons[message.reason] ?? "unknown",
    ...(message.stopText === "" ? {} : { stopText: message.stopText }),
    ...(message.stopTokenId === undefined ? {} : { stopTokenId: message.stopTokenId }),
    usage: {
      promptTokens: usage?.promptTokens ?? 0,
      cachedTokens: usage?.cachedTokens ?? 0,
      outputTokens: usage?.outputTokens ?? 0,
    },
    timings: {
      queueMs: (timings?.queueMicros ?? 0) / 1000,
      prefillMs: (timings?.prefillMicros ?? 0) / 1000,
      decodeMs: (timings?.decodeMicros ?? 0) / 1000,
    },
  };
}
