import { QosOptions } from "@polygraft/api";
import type { GenerateRequest, GenerateResponse, InferenceServiceImplementation } from "@polygraft/api";
import type { CallContext } from "nice-grpc-common";
import type { Caller, Gate } from "../access/gate.js";
import type { AdapterLease, AdapterStore } from "../adapters/store.js";
import { abortable } from "../abortable.js";
import { EngineError, type Engine } from "../engine/engine.js";
import type { WorkerIdentity } from "../identity.js";
import type { PromptEncoder } from "../tokenizer/prompt-encoder.js";
import type { Admission } from "./admission.js";
import { CallScope } from "./call-scope.js";
import { nowMicros } from "./clock.js";
import { asSequenceFailure } from "./engine-failure.js";
import { makePlan } from "./make-plan.js";
import type { Plan } from "./plan.js";
import { encodePrompt } from "./prompt.js";
import { RequestSpan } from "./request-span.js";
import { Run, type RunHost, type RunRequest } from "./run.js";
import { StepFlusher } from "./step-flusher.js";
import { answerWith } from "./weights.js";

/** What serves generations. */
export interface InferenceOptions {
  /** Who may call. */
  readonly gate: Gate;
  readonly engine: Engine;
  readonly encoder: PromptEncoder;
  readonly adapters: AdapterStore;
  readonly admission: Admission;
  readonly worker: WorkerIdentity;
}

/** An adapter can be unloaded between its load and the request's first step; then it is loaded again. */
const SUBMIT_ATTEMPTS = 3;

/** Serves generations: checks, adapter, tokens, engine, and the stream back. */
export class InferenceService implements InferenceServiceImplementation {
  private readonly options: InferenceOptions;
  private readonly host: RunHost;

  constructor(options: InferenceOptions) {
    this.options = options;
    const { engine, encoder, worker } = options;
    this.host = { engine, pieces: encoder.tokenizer.pieces, flusher: new StepFlusher(engine), worker };
  }

  async *generate(request: GenerateRequest, context: CallContext): AsyncGenerator<GenerateResponse> {
    const arrival = nowMicros();
    const caller = await this.options.gate.admit(context.metadata);
    context.header.set("polygraft-worker", this.options.worker.name);
    answerWith(this.options.engine.info.digest, context);
    const leave = this.options.admission.enter();
    const span = new RequestSpan(context.metadata);
    using scope = new CallScope(context.signal);
    let run: Run | undefined;
    const cancel = (): void => run?.cancel(scope.signal.reason);
    scope.signal.addEventListener("abort", cancel, { once: true });
    try {
      const plan = this.plan(inTheNameOf(caller, request), context);
      span.describe(plan, this.options.worker.model);
      if (plan.ttftTargetMillis !== undefined) scope.expectStart(plan.ttftTargetMillis);
      run = await this.start(plan, arrival, scope);
      if (scope.signal.aborted) cancel();
      for (let event = await run.next(); event; event = await run.next()) {
        span.record(event);
        yield event;
      }
    } catch (error) {
      span.failed(error);
      throw error;
    } finally {
      run?.cancel(undefined);
      span.end();
      leave();
    }
  }

  private plan(request: GenerateRequest, { metadata }: CallContext): Plan {
    const { engine, worker } = this.options;
    const { vocabularySize } = engine.info;
    return makePlan(request, { name: worker.model, vocabularySize }, metadata.get("polygraft-request-id"));
  }

  private async start(plan: Plan, arrival: number, scope: CallScope): Promise<Run> {
    const { engine, encoder } = this.options;
    const prompt = await abortable(encodePrompt(plan, encoder, engine.info.contextLength), scope.signal);
    for (let attempt = 1; ; attempt++) {
      const lease = await this.lease(plan, scope.signal);
      const request: RunRequest = { plan, prompt, lease, arrival, onStart: () => scope.started() };
      try {
        scope.signal.throwIfAborted();
        return new Run(this.host, request);
      } catch (error) {
        lease?.leave();
        if (scope.signal.aborted) throw error;
        if (!isSlotGone(error) || attempt === SUBMIT_ATTEMPTS) throw asSequenceFailure(error, lease?.identity.id);
      }
    }
  }

  private async lease({ adapter, onMiss }: Plan, signal: AbortSignal): Promise<AdapterLease | undefined> {
    return adapter && this.options.adapters.acquire(adapter, onMiss, signal);
  }
}

/** Whoever is known by a token uses his own fair share, whatever the request says. */
function inTheNameOf({ tenant }: Caller, request: GenerateRequest): GenerateRequest {
  return tenant === undefined ? request : { ...request, qos: { ...(request.qos ?? QosOptions.create()), tenant } };
}

function isSlotGone(error: unknown): boolean {
  return error instanceof EngineError && error.code === "NOT_FOUND";
}
