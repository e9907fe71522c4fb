import type { AdapterRef, GenerateRequest, OnMiss } from "@polygraft/api";
import type { EngineRequest } from "../engine/engine.js";

/** What the engine needs to know about a request, except for its prompt. */
export type EngineOptions = Omit<EngineRequest, "adapterSlot" | "prompt" | "resumedTokens" | "maxTokens">;

/** A request that was checked: every field is in its range, and has its default where it was absent. */
export interface Plan {
  readonly requestId: string;
  readonly prompt: NonNullable<GenerateRequest["prompt"]>;
  readonly adapter: AdapterRef | undefined;
  readonly onMiss: OnMiss;
  readonly engine: EngineOptions;
  /** Absent: 256, or what the context still holds if that is less. */
  readonly maxTokens: number | undefined;
  readonly minTokens: number;
  readonly stopTexts: readonly string[];
  readonly includeStop: boolean;
  /** Whether deltas carry text. */
  readonly text: boolean;
  /** Whether deltas carry token ids. */
  readonly tokenIds: boolean;
  readonly coalesceTokens: number;
  readonly coalesceMillis: number;
  readonly seed: bigint;
  /** Output tokens that the caller has already. */
  readonly resumedIds: readonly number[];
  /** Bytes of output text that the caller has already. */
  readonly resumedBytes: number;
  /** Milliseconds within which the first step must begin. */
  readonly ttftTargetMillis: number | undefined;
}

/** What requests are checked against. */
export interface ServedModel {
  readonly name: string;
  readonly vocabularySize: number;
}
