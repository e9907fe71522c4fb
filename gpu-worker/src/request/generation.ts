import { FinishReason, type AdapterIdentity, type Finished, type TokenLogprob } from "@polygraft/api";
import type { Alternative, EngineFinish, SequenceListener } from "../engine/engine.js";
import { Failure } from "../failure.js";
import type { OutputText } from "../tokenizer/output-text.js";
import { nowMicros, spanMicros } from "./clock.js";
import type { ResponseQueue } from "./response-queue.js";

/** What a generation sends, to whom, and whom it tells what. */
export interface GenerationOptions {
  readonly queue: ResponseQueue;
  /** Turns tokens into text. Absent where neither text nor stop texts are asked for. */
  readonly output: OutputText | undefined;
  /** Whether deltas carry text, token ids, log-probabilities. */
  readonly text: boolean;
  readonly tokenIds: boolean;
  readonly logprobs: boolean;
  readonly includeStop: boolean;
  /** Tokens that may end the output. */
  readonly stopIds: ReadonlySet<number>;
  readonly promptTokens: number;
  /** Output that the caller has already. */
  readonly resumedIds: readonly number[];
  /** When the request came, in microseconds. */
  readonly arrival: number;
  /** The first step begins: sends `accepted`. `adapter`: what it begins with, if another content took over meanwhile. */
  accepted(cachedTokens: number, queueMicros: number, adapter: AdapterIdentity | undefined): void;
  /** The adapter content that was attached at a slot. */
  identityAt(slot: number): AdapterIdentity | undefined;
  /** Something was added to the queue in this step. */
  touched(): void;
  /** The output is complete although the engine would go on. */
  stopped(): void;
  /** Why the engine gave up, as a failure. */
  asFailure(error: Error): unknown;
  /** The first token of the engine has come. */
  begun(): void;
  /** The engine has let go of the sequence. */
  released(): void;
}

/** The output of one sequence, from the engine's tokens to the client's events. */
export class Generation implements SequenceListener {
  private readonly options: GenerationOptions;
  private outputTokens: number;
  private cachedTokens = 0;
  /** A token that may be the stop: whether it is shows in what comes next. */
  private held: TokenLogprob | undefined;
  private complete = false;
  /** What took over from the content that it was to begin with. */
  private adapter: AdapterIdentity | undefined;
  private startedAt: number | undefined;
  private firstAt: number | undefined;
  private lastAt: number | undefined;

  constructor(options: GenerationOptions) {
    this.options = options;
    this.outputTokens = options.resumedIds.length;
  }

  /** Whether everything was sent, or the client has gone. */
  get isComplete(): boolean {
    return this.complete;
  }

  started(cachedTokens: number): void {
    if (this.complete) return;
    this.startedAt = nowMicros();
    this.cachedTokens = cachedTokens;
    this.options.accepted(cachedTokens, spanMicros(this.options.arrival, this.startedAt), this.adapter);
  }

  replaced(slot: number): void {
    if (this.complete) return;
    this.adapter = this.options.identityAt(slot);
    if (this.startedAt === undefined) return;
    // A held token came before.
    this.acceptHeld();
    if (this.complete) return;
    const value = { adapter: this.adapter, outputTokens: this.outputTokens };
    this.options.queue.push({ event: { $case: "adapterChanged", value } });
  }

  promptScore(tokenId: number, logprob: number, top: readonly Alternative[]): void {
    if (this.complete) return;
    this.options.queue.score(scored(tokenId, logprob, top));
    this.options.touched();
  }

  token(tokenId: number, logprob: number, top: readonly Alternative[]): void {
    if (this.complete) return;
    this.lastAt = nowMicros();
    if (this.firstAt === undefined) this.options.begun();
    this.firstAt ??= this.lastAt;
    this.acceptHeld();
    if (this.complete) return;
    if (this.options.stopIds.has(tokenId)) this.held = scored(tokenId, logprob, top);
    else this.accept(tokenId, logprob, top);
  }

  finished(reason: EngineFinish): void {
    this.options.released();
    if (this.complete) return;
    if (this.startedAt === undefined) this.started(0);
    switch (reason) {
      case "stop-token":
        return this.finishAtStopToken();
      case "max-tokens":
        return this.finishAfterOutput(FinishReason.MAX_TOKENS);
      case "context-full":
        return this.finishAfterOutput(FinishReason.CONTEXT_FULL);
      case "cancelled":
        return this.fail(new Failure("INTERNAL", "the engine cancelled a request that nobody had cancelled"));
    }
  }

  failed(error: Error): void {
    this.options.released();
    if (!this.complete) this.fail(this.options.asFailure(error));
  }

  /** The resumed output already ends in a stop text: nothing is left to generate. */
  finishAtOnce(): void {
    this.started(0);
    this.finish(FinishReason.STOP_TEXT);
  }

  /** Sends nothing more but the failure. */
  fail(error: unknown): void {
    this.complete = true;
    this.options.queue.fail(error);
  }

  private acceptHeld(): void {
    const { held } = this;
    if (!held) return;
    this.held = undefined;
    this.accept(held.tokenId, held.logprob, held.top);
  }

  private accept(tokenId: number, logprob: number, top: readonly Alternative[]): void {
    this.outputTokens++;
    const { output } = this.options;
    this.send(tokenId, output?.push(tokenId) ?? "", logprob, top);
    if (output?.stopText === undefined) return;
    this.options.stopped();
    this.finish(FinishReason.STOP_TEXT);
  }

  private send(tokenId: number, text: string, logprob: number, top: readonly Alternative[]): void {
    const { options } = this;
    options.queue.token(
      options.text ? text : "",
      options.tokenIds ? tokenId : undefined,
      options.logprobs ? scored(tokenId, logprob, top) : undefined,
    );
    options.touched();
  }

  private finishAtStopToken(): void {
    const { output, includeStop, resumedIds } = this.options;
    const { held } = this;
    this.held = undefined;
    // Without a new token, the last one that the caller has was the stop.
    const stopId = held?.tokenId ?? resumedIds.at(-1);
    if (held) this.outputTokens++;
    const rest = output?.end(stopId) ?? "";
    if (held && includeStop) this.send(held.tokenId, rest, held.logprob, held.top);
    else this.sendText(rest);
    this.finish(output?.stopText === undefined ? FinishReason.STOP_TOKEN : FinishReason.STOP_TEXT, stopId);
  }

  private finishAfterOutput(reason: FinishReason): void {
    this.acceptHeld();
    if (this.complete) return;
    this.sendText(this.options.output?.end() ?? "");
    this.finish(this.options.output?.stopText === undefined ? reason : FinishReason.STOP_TEXT);
  }

  private sendText(text: string): void {
    if (this.options.text) this.options.queue.text(text);
  }

  private finish(reason: FinishReason, stopTokenId?: number): void {
    this.complete = true;
    const value: Finished = {
      reason,
      stopText: this.options.output?.stopText ?? "",
      ...(reason === FinishReason.STOP_TOKEN && stopTokenId !== undefined && { stopTokenId }),
      usage: {
        promptTokens: this.options.promptTokens,
        cachedTokens: this.cachedTokens,
        outputTokens: this.outputTokens,
      },
      timings: this.timings(),
    };
    this.options.queue.push({ event: { $case: "finished", value } });
    this.options.queue.end();
  }

  private timings(): NonNullable<Finished["timings"]> {
    const { arrival } = this.options;
    const started = this.startedAt ?? arrival;
    const first = this.firstAt ?? started;
    return {
      queueMicros: spanMicros(arrival, started),
      prefillMicros: spanMicros(started, first),
      decodeMicros: spanMicros(first, this.lastAt ?? first),
    };
  }
}

function scored(tokenId: number, logprob: number, top: readonly Alternative[]): TokenLogprob {
  return { tokenId, logprob, top: top as TokenLogprob["top"] };
}
