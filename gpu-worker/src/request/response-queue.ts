import type { Delta, GenerateResponse, TokenLogprob } from "@polygraft/api";

/** In which portions output is sent. */
export interface QueueOptions {
  /** Tokens that a delta waits for. */
  readonly coalesceTokens: number;
  /** Longest wait for them, in milliseconds. */
  readonly coalesceMillis: number;
}

/** Most tokens of one delta, so that messages stay small however late they are fetched. */
const MAX_DELTA_TOKENS = 1024;
/** Most tokens of one `prompt_scores`. */
const MAX_SCORES = 256;

/**
 * Events of one generation on their way to its client. Output gathers in one open delta until the client fetches it:
 * one that reads slowly gets fewer and larger deltas, and nothing is lost. So the queue never holds more than the
 * generation's own tokens, and needs no further bound.
 */
export class ResponseQueue {
  private readonly options: QueueOptions;
  private readonly closed: GenerateResponse[] = [];
  private delta: Delta = emptyDelta();
  private deltaTokens = 0;
  private scores: TokenLogprob[] = [];
  private scored = 0;
  /** Whether the open delta may go. */
  private due = false;
  private timer: NodeJS.Timeout | undefined;
  private wake: (() => void) | undefined;
  private ended = false;
  private failure: { readonly error: unknown } | undefined;

  constructor(options: QueueOptions) {
    this.options = options;
  }

  /** Adds an event as it is, after all output so far. */
  push(response: GenerateResponse): void {
    this.closeScores();
    this.closeDelta();
    this.closed.push(response);
    this.wakeUp();
  }

  /** Adds the score of the next prompt token. */
  score(token: TokenLogprob): void {
    this.scores.push(token);
    if (this.scores.length >= MAX_SCORES) this.closeScores();
  }

  /** Adds an output token to the open delta. What is undefined was not asked for. */
  token(text: string, id: number | undefined, logprob: TokenLogprob | undefined): void {
    if (this.deltaTokens >= MAX_DELTA_TOKENS) this.closeDelta();
    this.deltaTokens++;
    this.delta.text += text;
    if (id !== undefined) this.delta.tokenIds.push(id);
    if (logprob !== undefined) this.delta.logprobs.push(logprob);
  }

  /** Adds text that belongs to no new token. */
  text(text: string): void {
    this.delta.text += text;
  }

  /** Ends a step: the open delta goes now, or waits for more tokens. */
  flush(): void {
    if (this.scores.length > 0) this.closeScores();
    if (this.deltaTokens >= this.options.coalesceTokens || this.options.coalesceMillis === 0) this.release();
    else if (this.deltaTokens > 0) this.timer ??= setTimeout(() => this.release(), this.options.coalesceMillis);
    if (this.closed.length > 0) this.wakeUp();
  }

  /** Nothing follows. */
  end(): void {
    this.stopTimer();
    this.ended = true;
    this.wakeUp();
  }

  /** Nothing follows because of an error. The first one counts. */
  fail(error: unknown): void {
    this.stopTimer();
    this.failure ??= { error };
    this.wakeUp();
  }

  /** The next event; waits for it. Undefined after the last. Rejects with the failure once there is one. */
  async next(): Promise<GenerateResponse | undefined> {
    for (;;) {
      if (this.failure) throw this.failure.error;
      const response = this.take();
      if (response || this.ended) return response;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  private take(): GenerateResponse | undefined {
    if (this.closed.length === 0 && this.due) this.closeDelta();
    return this.closed.shift();
  }

  private release(): void {
    this.stopTimer();
    this.due = true;
    this.wakeUp();
  }

  private closeDelta(): void {
    this.stopTimer();
    this.due = false;
    this.deltaTokens = 0;
    const { delta } = this;
    if (delta.text === "" && delta.tokenIds.length === 0 && delta.logprobs.length === 0) return;
    this.delta = emptyDelta();
    this.closed.push({ event: { $case: "delta", value: delta } });
  }

  private closeScores(): void {
    if (this.scores.length === 0) return;
    this.closed.push({ event: { $case: "promptScores", value: { start: this.scored, tokens: this.scores } } });
    this.scored += this.scores.length;
    this.scores = [];
  }

  private stopTimer(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private wakeUp(): void {
    const { wake } = this;
    this.wake = undefined;
    wake?.();
  }
}

function emptyDelta(): Delta {
  return { text: "", tokenIds: [], logprobs: [] };
}
