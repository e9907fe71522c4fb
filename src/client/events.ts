/** One event of a generation, told apart by `type`. */
export type GenerationEvent = AcceptedEvent | PromptScoresEvent | DeltaEvent | AdapterChangedEvent | FinishedEvent;

/** Why a router chose a worker. */
export interface PlacementExplanation {
  /** "preferred": the first choice of this adapter; otherwise what stood against it. */
  readonly reason: string;
  /** Workers in the order in which this adapter prefers them. */
  readonly candidates: readonly string[];
}

/**
 * The request is in the batch of a worker. Normally the first event and the only one of its kind; when the worker is
 * lost before its first output and the SDK retries, another one follows and replaces it.
 */
export interface AcceptedEvent {
  readonly type: "accepted";
  readonly requestId: string;
  /** Name of the worker that serves it. */
  readonly worker: string;
  /** Name of the base model. */
  readonly model: string;
  /**
   * Digest of its weights, "sha256:" and 64 hexadecimal digits: workers of one digest give the same output, bit for bit.
   * Absent where a server does not say.
   */
  readonly weights?: string;
  /** What the adapter reference meant. Absent for the base. */
  readonly adapter?: AdapterIdentity;
  /** Where the adapter was when the request came. Absent for the base. */
  readonly tier?: Tier;
  /** The base serves this, because of `onMiss: "base"`. */
  readonly fellBackToBase: boolean;
  /** Milliseconds between arrival at the worker and the first step with room for it. */
  readonly queueMs: number;
  /** Of those, milliseconds spent waiting for the adapter. */
  readonly adapterWaitMs: number;
  readonly promptTokens: number;
  /** Prompt tokens that came from the prefix cache. */
  readonly cachedTokens: number;
  /** The seed in use. */
  readonly seed: bigint;
  /** 1 for the first attempt, one more after each retry. */
  readonly attempt: number;
  /** Why the router chose the worker, if `routing.explain` asked for it and a router was on the way. */
  readonly placement?: PlacementExplanation;
}

/** Log-probabilities of consecutive prompt tokens. */
export interface PromptScoresEvent {
  readonly type: "prompt-scores";
  /** Position in the prompt of the first token, from 0. */
  readonly start: number;
  /** The first token of a prompt has no predecessor: its log-probability is 0. */
  readonly tokens: readonly TokenLogprob[];
}

/** New output. */
export interface DeltaEvent {
  readonly type: "delta";
  /** Whole characters, none of which can become part of a stop text. May be empty. */
  readonly text: string;
  /** The new tokens. They can run ahead of `text`. */
  readonly tokenIds: readonly number[];
  /** One for each token, if asked for. */
  readonly logprobs: readonly TokenLogprob[];
}

/**
 * From here on the output comes from another content of the adapter, which an operator has put in its place while the
 * stream ran. What came before and what comes after are of two contents: neither alone would have said the whole.
 */
export interface AdapterChangedEvent {
  readonly type: "adapter-changed";
  readonly adapter: AdapterIdentity;
  /** Output tokens before this event. */
  readonly outputTokens: number;
}

/** The end. */
export interface FinishedEvent {
  readonly type: "finished";
  readonly reason: FinishReason;
  /** The stop text that ended it, if one did. */
  readonly stopText?: string;
  /** The token that ended it, if one did. */
  readonly stopTokenId?: number;
  readonly usage: Usage;
  readonly timings: ServerTimings;
}

/** An adapter's name, version and content. */
export interface AdapterIdentity {
  readonly id: string;
  /** Empty for a local folder without versions. */
  readonly revision: string;
  /** "sha256:" and 64 hexadecimal digits. */
  readonly digest: string;
}

/** How close an adapter is to the kernels. */
export type Tier = "device" | "host" | "disk" | "source";

/** Why a generation ended. */
export type FinishReason = "stop-token" | "stop-text" | "max-tokens" | "context-full" | "unknown";

/** Tokens used. */
export interface Usage {
  readonly promptTokens: number;
  /** Prompt tokens that came from the prefix cache. */
  readonly cachedTokens: number;
  /** Generated ones, a stop token included. */
  readonly outputTokens: number;
}

/** Where the time went as the worker saw it, in milliseconds. */
export interface ServerTimings {
  /** Arrival until the first step with this request. */
  readonly queueMs: number;
  /** First step until the first token. */
  readonly prefillMs: number;
  /** First token until the last. */
  readonly decodeMs: number;
}

/** Natural log-probability of a token, before temperature and filters. */
export interface TokenLogprob {
  readonly tokenId: number;
  readonly logprob: number;
  /** The most probable tokens at this position, if asked for, best first. */
  readonly top: readonly { readonly tokenId: number; readonly logprob: number }[];
}
