/** What to generate, with which adapter, and how. Only `prompt` is required; ranges are checked by the server. */
export interface GenerateRequest extends Sampling, Stopping, Output {
  /**
   * Text, token ids of the base model's tokenizer (used as they are: no beginning-of-sequence token is added), or
   * messages for the model's chat template.
   */
  readonly prompt: string | readonly number[] | Uint32Array | readonly ChatMessage[];
  /** "name", "name@revision" (split at the first "@"), or a reference in parts. Default: the base model alone. */
  readonly adapter?: string | AdapterReference;
  /** Name of the base model. Default: the one that the fleet serves. */
  readonly model?: string;
  /** At most 128 bytes of printable ASCII. It appears in logs and traces. Default: a random UUID. */
  readonly requestId?: string;
  /** For messages: appends the template's start of an assistant turn. Default: true. */
  readonly addGenerationPrompt?: boolean;
  /** Restricts the output to a grammar. */
  readonly constraint?: Constraint;
  /** Use of the prefix cache. */
  readonly cache?: CacheUse;
  /** Hints for the router. */
  readonly routing?: Routing;
  /** Higher goes first. Range -100 to 100. Default: 0. */
  readonly priority?: number;
  /** Whose fair share this uses. A router that authenticates overwrites it. */
  readonly tenant?: string;
  /** Fails rather than starts when the first token cannot come within so many milliseconds. */
  readonly ttftTargetMs?: number;
  /** Wished time between tokens, in milliseconds. */
  readonly itlTargetMs?: number;
  /** When the adapter is not on the device: load it first, fail at once, or serve the base instead. Default: "wait". */
  readonly onMiss?: "wait" | "fail" | "base";
  /** Output that the caller already has from a stream that broke off. Greedy and seeded requests only. */
  readonly resume?: ResumePoint;
}

/** A turn of a conversation. */
export interface ChatMessage {
  /** As the chat template knows it: usually "system", "user" or "assistant". */
  readonly role: string;
  readonly content: string;
}

/** An adapter by name, and if need be by version and content. */
export interface AdapterReference {
  readonly id: string;
  /** Default: the current one. */
  readonly revision?: string;
  /** "sha256:…": the call fails if the content is another. */
  readonly digest?: string;
}

/** How the next token is chosen. */
export interface Sampling {
  /** 0 takes the most probable token. Range 0 to 10. Default: 0. */
  readonly temperature?: number;
  /** Keeps the k most probable tokens; 0 keeps all. Default: 0. */
  readonly topK?: number;
  /** Keeps the smallest set of tokens whose probabilities add up to this. Range above 0 to 1. Default: 1. */
  readonly topP?: number;
  /** Drops tokens less probable than this share of the most probable one. Range 0 to 1. Default: 0. */
  readonly minP?: number;
  /** Range above 0 to 10. Default: 1. */
  readonly repetitionPenalty?: number;
  /** Range -10 to 10. Default: 0. */
  readonly frequencyPenalty?: number;
  /** Range -10 to 10. Default: 0. */
  readonly presencePenalty?: number;
  /** Seed of the draws, 64 bits unsigned. Default: the worker draws one and tells it. */
  readonly seed?: number | bigint;
  /** Added to the logits, by token id. Range -100 to 100; -100 bans the token. At most 1024 entries. */
  readonly logitBias?: Readonly<Record<number, number>>;
}

/** When a generation ends. */
export interface Stopping {
  /** Most tokens to generate. Default: 256, or what the context still holds. */
  readonly maxTokens?: number;
  /** No stop is honoured before this many tokens. Default: 0. */
  readonly minTokens?: number;
  /** Ends before the first of these texts. At most 16 of 256 bytes. */
  readonly stop?: string | readonly string[];
  /** Ends at any of these tokens, besides the model's own. At most 64. */
  readonly stopTokenIds?: readonly number[];
  /** Goes on past the model's end-of-sequence tokens. Default: false. */
  readonly ignoreEos?: boolean;
  /** Returns the stop token or stop text as well. Default: false. */
  readonly includeStop?: boolean;
}

/** What the stream carries. */
export interface Output {
  /** Log-probability of each generated token. Default: false. */
  readonly logprobs?: boolean;
  /** With each, the n most probable alternatives. At most 20. Default: 0. */
  readonly topLogprobs?: number;
  /** Log-probability of each prompt token given those before it. Default: false. */
  readonly promptLogprobs?: boolean;
  /** Whether deltas carry text. Default: true. */
  readonly returnText?: boolean;
  /** Whether deltas carry token ids. Default: true. */
  readonly returnTokenIds?: boolean;
  /** Holds a delta back until it has this many tokens. Range 1 to 1024. Default: 1. */
  readonly coalesceTokens?: number;
  /** But never longer than this, in milliseconds. At most 10,000. Default: 100. */
  readonly coalesceMs?: number;
}

/** A grammar for the output: exactly one of these. */
export type Constraint =
  | { readonly jsonSchema: string | object }
  | { readonly regex: string }
  | { readonly ebnf: string }
  | { readonly choices: readonly string[] };

/** Use of the prefix cache. */
export interface CacheUse {
  /** Requests share cached prefixes only under equal salts, at most 256 bytes. Default: "". */
  readonly salt?: string;
  /** Neither reads nor fills the cache. Default: false. */
  readonly bypass?: boolean;
}

/** Hints for the router. */
export interface Routing {
  /** Hashed for placement, to keep related requests together. Default: the adapter. */
  readonly key?: string;
  /** Serves on this worker or fails with UNAVAILABLE. */
  readonly worker?: string;
  /** Asks the router why it chooses the worker: see `placement` of the "accepted" event. Default: false. */
  readonly explain?: boolean;
  /** Moves the stream to another worker when its worker is lost. Default: true. */
  readonly failover?: boolean;
}

/** Where a broken stream goes on. */
export interface ResumePoint {
  /** Output tokens so far, in order. */
  readonly tokenIds: readonly number[];
  /** Bytes of output text so far, in UTF-8. */
  readonly textBytes: number;
}
