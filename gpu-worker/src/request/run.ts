import { Tier, type GenerateResponse } from "@polygraft/api";
import type { AdapterLease } from "../adapters/store.js";
import type { Engine, EngineRequest } from "../engine/engine.js";
import type { WorkerIdentity } from "../identity.js";
import { OutputText } from "../tokenizer/output-text.js";
import type { TokenPieces } from "../tokenizer/token-pieces.js";
import { acceptedEvent } from "./accepted.js";
import { nowMicros, spanMicros } from "./clock.js";
import { asSequenceFailure } from "./engine-failure.js";
import { Generation } from "./generation.js";
import type { Plan } from "./plan.js";
import type { EncodedPrompt } from "./prompt.js";
import { ResponseQueue } from "./response-queue.js";
import { feedResumed } from "./resumed-output.js";
import type { StepFlusher } from "./step-flusher.js";

/** What runs share. */
export interface RunHost {
  readonly engine: Engine;
  readonly pieces: TokenPieces;
  readonly flusher: StepFlusher;
  readonly worker: WorkerIdentity;
}

/** One request, ready for the engine. */
export interface RunRequest {
  readonly plan: Plan;
  readonly prompt: EncodedPrompt;
  /** Absent: the base alone. */
  readonly lease: AdapterLease | undefined;
  /** When the request came, in microseconds. */
  readonly arrival: number;
  /** The first step begins. */
  readonly onStart: () => void;
}

/** A request in the engine. */
export class Run {
  private readonly engine: Engine;
  private readonly queue: ResponseQueue;
  private readonly generation: Generation;
  private id: number | undefined;

  /** Submits a request. Throws what the engine refuses; the lease is the caller's then. */
  constructor(host: RunHost, request: RunRequest) {
    const { plan, prompt, lease } = request;
    this.engine = host.engine;
    this.queue = new ResponseQueue(plan);
    const output = outputOf(plan, prompt, host.pieces);
    const ahead = output && feedResumed(plan, output);
    this.generation = new Generation({
      queue: this.queue,
      output,
      text: plan.text,
      tokenIds: plan.tokenIds,
      logprobs: plan.engine.logprobs ?? false,
      includeStop: plan.includeStop,
      stopIds: stopIdsOf(plan, host.engine),
      promptTokens: prompt.promptTokens,
      resumedIds: plan.resumedIds,
      arrival: request.arrival,
      accepted: (cachedTokens, queueMicros, adapter) => {
        request.onStart();
        const { tier = Tier.UNSPECIFIED, waitMicros = 0 } = lease ?? {};
        const served = { plan, prompt, adapter: adapter ?? lease?.identity, tier, waitMicros };
        this.queue.push(acceptedEvent(host.worker, served, cachedTokens, queueMicros));
        if (ahead && plan.text) this.queue.text(ahead);
      },
      touched: () => host.flusher.touch(this.queue),
      stopped: () => this.cancelSequence(),
      identityAt: (slot) => lease?.identityAt(slot),
      asFailure: (error) => asSequenceFailure(error, lease?.identity.id),
      begun: () => lease?.begun(),
      released: () => lease?.leave(),
    });
    if (output?.stopText === undefined) this.id = host.engine.submit(engineRequest(request), this.generation);
    else this.stopAtOnce(lease);
  }

  /** The next event; waits for it. Undefined after the last. */
  async next(): Promise<GenerateResponse | undefined> {
    return this.queue.next();
  }

  /** Ends the request. Its sequence is gone before the next step; `next` rejects with the reason. */
  cancel(reason: unknown): void {
    if (this.generation.isComplete) return;
    this.generation.fail(reason);
    this.cancelSequence();
  }

  private cancelSequence(): void {
    if (this.id !== undefined) this.engine.cancel(this.id);
  }

  /** The output that the caller has already ends in a stop text: the engine has nothing to do. */
  private stopAtOnce(lease: AdapterLease | undefined): void {
    this.generation.finishAtOnce();
    lease?.leave();
  }
}

function outputOf(plan: Plan, { continues }: EncodedPrompt, pieces: TokenPieces): OutputText | undefined {
  if (!plan.text && plan.stopTexts.length === 0) return undefined;
  const { stopTexts, minTokens, includeStop } = plan;
  return new OutputText(pieces, { continues, stopTexts, minTokens, includeStop });
}

/** Of the time in which the first token is due, at least one. */
function millisLeft(arrival: number, target: number): number {
  return Math.max(1, Math.floor(target - spanMicros(arrival, nowMicros()) / 1000));
}

function stopIdsOf({ engine: { ignoreEos, stopTokenIds = [] } }: Plan, { info }: Engine): ReadonlySet<number> {
  return new Set(ignoreEos ? stopTokenIds : [...info.eosTokenIds, ...stopTokenIds]);
}

function engineRequest({ plan, prompt, lease, arrival }: RunRequest): EngineRequest {
  const { ttftTargetMillis } = plan;
  return {
    ...plan.engine,
    ...(ttftTargetMillis !== undefined && { deadlineMillis: millisLeft(arrival, ttftTargetMillis) }),
    ...(lease && { adapterSlot: lease.slot }),
    prompt: prompt.tokens,
    resumedTokens: plan.resumedIds.length,
    maxTokens: prompt.maxTokens,
    minTokens: Math.min(plan.minTokens, prompt.maxTokens),
  };
}
