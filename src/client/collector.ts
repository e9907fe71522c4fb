import { PolygraftError } from "./error.js";
import type { AcceptedEvent, AdapterChangedEvent, FinishedEvent, GenerationEvent, TokenLogprob } from "./events.js";

/** What a generation's events add up to. */
export interface GenerationResult extends Omit<AcceptedEvent, "type" | "promptTokens" | "cachedTokens" | "queueMs"> {
  readonly text: string;
  readonly tokenIds: readonly number[];
  /** One for each token, if asked for. */
  readonly logprobs: readonly TokenLogprob[];
  /** One for each prompt token, if asked for. */
  readonly promptLogprobs: readonly TokenLogprob[];
  /** Contents of the adapter that took over while the stream ran, in order: `adapter` is what it began with. */
  readonly adapterChanges: readonly Omit<AdapterChangedEvent, "type">[];
  readonly finishReason: FinishedEvent["reason"];
  /** The stop text that ended it, if one did. */
  readonly stopText?: string;
  /** The token that ended it, if one did. */
  readonly stopTokenId?: number;
  readonly usage: FinishedEvent["usage"];
  readonly timings: Timings;
}

/** Where the time went, in milliseconds: as the worker saw it, and as the caller did. */
export interface Timings {
  /** Arrival at the worker until the first step with this request. */
  readonly queueMs: number;
  /** First step until the first token. */
  readonly prefillMs: number;
  /** First token until the last. */
  readonly decodeMs: number;
  /** Call until the first output reached the consumer. 0 if there was none. */
  readonly firstTokenMs: number;
  /** Call until the end reached the consumer. */
  readonly totalMs: number;
}

/** Adds up the events of one generation. */
export class Collector {
  readonly #requestId: string;
  readonly #start = performance.now();
  #accepted: AcceptedEvent | undefined;
  #finished: FinishedEvent | undefined;
  #text = "";
  readonly #tokenIds: number[] = [];
  readonly #logprobs: TokenLogprob[] = [];
  readonly #promptLogprobs: TokenLogprob[] = [];
  readonly #adapterChanges: Omit<AdapterChangedEvent, "type">[] = [];
  #firstTokenMs = 0;
  #totalMs = 0;

  constructor(requestId: string) {
    this.#requestId = requestId;
  }

  add(event: GenerationEvent): void {
    switch (event.type) {
      case "accepted":
        this.#accepted = event;
        break;
      case "prompt-scores":
        append(this.#promptLogprobs, event.tokens);
        break;
      case "delta":
        this.#firstTokenMs ||= performance.now() - this.#start;
        this.#text += event.text;
        append(this.#tokenIds, event.tokenIds);
        append(this.#logprobs, event.logprobs);
        break;
      case "adapter-changed":
        this.#adapterChanges.push({ adapter: event.adapter, outputTokens: event.outputTokens });
        break;
      case "finished":
        this.#totalMs = performance.now() - this.#start;
        this.#finished = event;
        break;
    }
  }

  result(): GenerationResult {
    if (this.#accepted === undefined || this.#finished === undefined) {
      throw new PolygraftError("the stream ended without its first or last event", {
        code: "INCOMPLETE_STREAM",
        status: "INTERNAL",
        requestId: this.#requestId,
      });
    }
    const { type: _accepted, promptTokens: _prompt, cachedTokens: _cached, queueMs: _queue, ...accepted } = this.#accepted;
    const { type: _finished, reason, timings, ...finished } = this.#finished;
    return {
      ...accepted,
      ...finished,
      text: this.#text,
      tokenIds: this.#tokenIds,
      logprobs: this.#logprobs,
      promptLogprobs: this.#promptLogprobs,
      adapterChanges: this.#adapterChanges,
      finishReason: reason,
      timings: { ...timings, firstTokenMs: this.#firstTokenMs, totalMs: this.#totalMs },
    };
  }
}

/** Appends in a loop: spreading a long list into `push` overflows the stack. */
function append<T>(list: T[], more: readonly T[]): void {
  for (const entry of more) list.push(entry);
}
