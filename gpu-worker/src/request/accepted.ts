import { Tier, type GenerateResponse } from "@polygraft/api";
import type { WorkerIdentity } from "../identity.js";
import type { RunRequest } from "./run.js";

/** The first event of a generation: who serves it, with what, and what that took. */
export function acceptedEvent(
  worker: WorkerIdentity,
  { plan, prompt, lease }: Pick<RunRequest, "plan" | "prompt" | "lease">,
  cachedTokens: number,
  queueMicros: number,
): GenerateResponse {
  const value = {
    requestId: plan.requestId,
    worker: worker.name,
    model: worker.model,
    adapter: lease?.identity,
    tier: lease?.tier ?? Tier.UNSPECIFIED,
    fellBackToBase: plan.adapter !== undefined && lease === undefined,
    queueMicros,
    adapterWaitMicros: Math.min(lease?.waitMicros ?? 0, queueMicros),
    promptTokens: prompt.promptTokens,
    cachedTokens,
    seed: plan.seed,
  };
  return { event: { $case: "accepted", value } };
}
