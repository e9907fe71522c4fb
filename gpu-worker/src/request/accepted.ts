import type { AdapterIdentity, GenerateResponse, Tier } from "@polygraft/api";
import type { WorkerIdentity } from "../identity.js";
import type { Plan } from "./plan.js";
import type { EncodedPrompt } from "./prompt.js";

/** A request as it begins. */
export interface Beginning {
  readonly plan: Plan;
  readonly prompt: EncodedPrompt;
  /** What it is computed with. Absent: the base alone. */
  readonly adapter: AdapterIdentity | undefined;
  /** Where that was when it was asked for. */
  readonly tier: Tier;
  /** Microseconds until it was ready. */
  readonly waitMicros: number;
}

/** The first event of a generation: who serves it, with what, and what that took. */
export function acceptedEvent(
  worker: WorkerIdentity,
  { plan, prompt, adapter, tier, waitMicros }: Beginning,
  cachedTokens: number,
  queueMicros: number,
): GenerateResponse {
  const value = {
    requestId: plan.requestId,
    worker: worker.name,
    model: worker.model,
    adapter,
    tier,
    fellBackToBase: plan.adapter !== undefined && adapter === undefined,
    queueMicros,
    adapterWaitMicros: Math.min(waitMicros, queueMicros),
    promptTokens: prompt.promptTokens,
    cachedTokens,
    seed: plan.seed,
  };
  return { event: { $case: "accepted", value } };
}
