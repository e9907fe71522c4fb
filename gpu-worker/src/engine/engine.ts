/**
 * What the worker host needs from an inference engine. The native addon is the first implementation; a server that runs
 * somewhere else can become another.
 */

/** What an engine serves. */
export interface EngineInfo {
  /** Model family: "llama", "mistral", "qwen2", "qwen3". */
  readonly architecture: string;
  /** "sha256:…" over source weights, config and quantization. Engines of one digest give the same output. */
  readonly digest: string;
  /** Where it runs, such as "cpu/avx2". */
  readonly device: string;
  /** Weight format, such as "w4-g32"; of a mixture, "w4-g32+w8-g32". */
  readonly weights: string;
  readonly vocabularySize: number;
  readonly hiddenSize: number;
  readonly layers: number;
  /** Most tokens of prompt and output together. */
  readonly contextLength: number;
  readonly kvBlocks: number;
  readonly kvBlockTokens: number;
  readonly weightBytes: number;
  readonly kvBytes: number;
  /** Bytes for adapters on the device. */
  readonly adapterBytes: number;
  /** Bytes that the memory plan has for adapters in host memory; 0: no plan. */
  readonly hostAdapterBytes: number;
  /** Bytes of activations and logits of the largest step. */
  readonly scratchBytes: number;
  /** Bytes that the memory plan has for the host's runtime; 0: no plan. */
  readonly processBytes: number;
  readonly maxSequences: number;
  readonly maxStepTokens: number;
  readonly maxQueue: number;
  /** The model's own end-of-sequence tokens. */
  readonly eosTokenIds: readonly number[];
  /** Beginning-of-sequence token, if the model has one. */
  readonly bosTokenId?: number;
  /** What the operator should know: that something of this machine is not used, and why. */
  readonly warning?: string;
}

/** An adapter in host memory, checked against the model. */
export interface HostAdapter {
  /** Largest rank among its modules. */
  readonly rank: number;
  /** Projections it changes, such as "q_proj". */
  readonly targetModules: readonly string[];
  /** `base_model_name_or_path` of its config. */
  readonly baseModel: string;
  readonly hostBytes: number;
  readonly deviceBytes: number;
  /** Frees host memory. A copy on the device stays. */
  close(): void;
}

/** One generation, in tokens. Ranges are those of the contract; the engine checks them. */
export interface EngineRequest {
  /** Slot of an attached adapter. Absent: the base. */
  readonly adapterSlot?: number;
  /** Prompt tokens, at least one; output that was delivered before follows at the end. */
  readonly prompt: Uint32Array;
  /** How many of the last prompt tokens are such output. Default: 0. */
  readonly resumedTokens?: number;
  /** Most output tokens, resumed ones included. */
  readonly maxTokens: number;
  readonly minTokens?: number;
  /** Besides the model's own. */
  readonly stopTokenIds?: readonly number[];
  readonly ignoreEos?: boolean;
  /** 0: greedy. Default: 0. */
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly frequencyPenalty?: number;
  readonly presencePenalty?: number;
  /** Unsigned, 64 bits. Default: 0. */
  readonly seed?: bigint;
  readonly logitBias?: readonly { readonly tokenId: number; readonly bias: number }[];
  readonly logprobs?: boolean;
  readonly promptLogprobs?: boolean;
  readonly topLogprobs?: number;
  /** Higher goes first. Default: 0. */
  readonly priority?: number;
  /** Whose fair share it uses, at most 128 bytes. Default: empty. */
  readonly tenant?: string;
  /** Milliseconds until its first token is due: the earlier goes first. Default: 0, in no hurry. */
  readonly deadlineMillis?: number;
  /** Prefixes are shared under equal salts only, at most 256 bytes. Default: empty. */
  readonly cacheSalt?: string;
  /** Neither reads nor fills the prefix cache. Default: false. */
  readonly cacheBypass?: boolean;
}

/** A token that could have been, with its natural log-probability. */
export interface Alternative {
  readonly tokenId: number;
  readonly logprob: number;
}

/** Why a sequence ended. */
export type EngineFinish = "stop-token" | "max-tokens" | "context-full" | "cancelled";

/** Receives what becomes of one sequence. Calls come in order; `finished` or `failed` is the last. */
export interface SequenceListener {
  /** The first step with this sequence has begun. */
  started(cachedTokens: number): void;
  promptScore(tokenId: number, logprob: number, top: readonly Alternative[]): void;
  /** `logprob` is 0 unless asked for. */
  token(tokenId: number, logprob: number, top: readonly Alternative[]): void;
  /** What follows comes from another adapter content: the one that was attached at this slot. See `replaceAdapter`. */
  replaced?(slot: number): void;
  finished(reason: EngineFinish): void;
  failed(error: Error): void;
}

/** How busy an engine is, as of the end of a step. */
export interface EngineLoad {
  /** Steps since the start. */
  readonly steps: number;
  readonly stepMicros: number;
  readonly stepTokens: number;
  readonly running: number;
  readonly waiting: number;
  /** Prompt tokens not computed yet. */
  readonly waitingTokens: number;
  /** Prompt left and output allowed, of all sequences. */
  readonly inFlightTokens: number;
  /** By sequences. */
  readonly kvBlocksUsed: number;
  readonly adapterBytesUsed: number;
  /** Held by the prefix cache alone: given up when others need them. */
  readonly kvBlocksCached: number;
}

/** An inference engine. Failures are `EngineError`s. */
export interface Engine {
  readonly info: EngineInfo;
  /** Reads a PEFT folder into host memory and checks it against the model. */
  openAdapter(directory: string): Promise<HostAdapter>;
  /**
   * Packs an adapter onto the device. RESOURCE_EXHAUSTED when the budget is full: detach another one first. `digest`
   * names its content: cached prefixes are shared between slots of one digest, else between requests for one slot only.
   */
  attachAdapter(adapter: HostAdapter, digest?: string): Promise<number>;
  /** Frees a slot once no sequence uses it. */
  detachAdapter(slot: number): void;
  /** Another slot of the same content, which takes no memory. Each is detached on its own. */
  aliasAdapter(slot: number): number;
  /**
   * Puts the content of the slot `by` into `slot`. From the next step on the sequences there go on with it; their
   * listeners hear so before its first token.
   */
  replaceAdapter(slot: number, by: number): void;
  /**
   * Takes a slot's content off the device for a while, there and at its aliases. Their sequences stay where they are, and
   * are computed no further until it is back; its memory is free when the running step is over.
   */
  parkAdapter(slot: number): void;
  /** Packs the content of a parked slot again, from the adapter that it was attached from. RESOURCE_EXHAUSTED as above. */
  resumeAdapter(adapter: HostAdapter, slot: number): Promise<void>;
  /** Queues a sequence and returns its id. Throws what can be known at once: bad fields, a full queue. */
  submit(request: EngineRequest, listener: SequenceListener): number;
  /** Ends a sequence before the next step; its listener hears "cancelled". Unknown ids are ignored. */
  cancel(id: number): void;
  load(): EngineLoad;
  /** Calls back after each step, when all listeners of that step have been called. */
  onStep(callback: (load: EngineLoad) => void): void;
  /** Stops the step loop. Sequences that run get `failed`. */
  close(): Promise<void>;
}

/** Codes of engine failures, named as in gRPC. */
export type EngineErrorCode =
  | "INVALID_ARGUMENT"
  | "NOT_FOUND"
  | "FAILED_PRECONDITION"
  | "RESOURCE_EXHAUSTED"
  | "UNIMPLEMENTED"
  | "DATA_LOSS"
  | "CANCELLED"
  | "INTERNAL";

/** A failure of the engine. */
export class EngineError extends Error {
  override readonly name = "EngineError";
  readonly code: EngineErrorCode;
  /** Request field, config key or tensor at fault. Empty if none. */
  readonly field: string;

  constructor(code: EngineErrorCode, message: string, field = "") {
    super(message);
    this.code = code;
    this.field = field;
  }
}
