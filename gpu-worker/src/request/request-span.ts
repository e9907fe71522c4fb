import { context, propagation, SpanKind, SpanStatusCode, trace, type Span, type TextMapGetter } from "@opentelemetry/api";
import { FinishReason, Tier, type GenerateResponse } from "@polygraft/api";
import type { Metadata } from "nice-grpc-common";
import { Failure } from "../failure.js";
import type { Plan } from "./plan.js";

const tracer = trace.getTracer("@polygraft/worker");

/** Reads the caller's trace context from the call's metadata. */
const CARRIER: TextMapGetter<Metadata> = {
  get(metadata, key) {
    const value = metadata.get(key);
    return typeof value === "string" ? value : undefined;
  },
  keys: (metadata) => Array.from(metadata, ([key]) => key),
};

/**
 * The span of one request as the worker sees it, a child of the caller's. There is no event per token. Without an
 * OpenTelemetry SDK in the process it does nothing. Names follow the GenAI conventions, which are still "development";
 * what they have no name for begins with "polygraft.".
 */
export class RequestSpan {
  private readonly span: Span;

  constructor(metadata: Metadata) {
    const parent = propagation.extract(context.active(), metadata, CARRIER);
    this.span = tracer.startSpan("text_completion", { kind: SpanKind.SERVER }, parent);
  }

  /** Says what is asked for. */
  describe({ requestId, prompt, adapter, engine, maxTokens }: Plan, model: string): void {
    if (!this.span.isRecording()) return;
    const operation = prompt.$case === "chat" ? "chat" : "text_completion";
    const asked = adapter?.id ?? model;
    this.span.updateName(`${operation} ${asked}`);
    this.span.setAttributes({
      "gen_ai.operation.name": operation,
      "gen_ai.provider.name": "polygraft",
      "gen_ai.request.model": asked,
      "gen_ai.request.temperature": engine.temperature ?? 0,
      "gen_ai.response.id": requestId,
      "gen_ai.response.model": model,
      ...(maxTokens !== undefined && { "gen_ai.request.max_tokens": maxTokens }),
    });
  }

  /** Notes what an event says about the request as a whole. */
  record({ event }: GenerateResponse): void {
    if (!this.span.isRecording()) return;
    if (event?.$case === "accepted") {
      const { adapter, tier, queueMicros } = event.value;
      this.span.setAttribute("polygraft.queue_micros", queueMicros);
      if (adapter) this.span.setAttributes({ "polygraft.adapter.digest": adapter.digest, "polygraft.adapter.tier": nameOf(Tier, tier) });
    } else if (event?.$case === "finished") {
      const { reason, usage } = event.value;
      this.span.setAttributes({
        "gen_ai.response.finish_reasons": [nameOf(FinishReason, reason)],
        "gen_ai.usage.input_tokens": usage?.promptTokens ?? 0,
        "gen_ai.usage.output_tokens": usage?.outputTokens ?? 0,
        "gen_ai.usage.cache_read.input_tokens": usage?.cachedTokens ?? 0,
      });
    }
  }

  /** Notes that the request failed. */
  failed(error: unknown): void {
    const type = error instanceof Failure ? error.reason : error instanceof Error ? error.name : "unknown";
    this.span.setAttribute("error.type", type);
    this.span.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof Error ? error.message : type });
  }

  end(): void {
    this.span.end();
  }
}

function nameOf(values: Readonly<Record<string, number>>, value: number): string {
  return (Object.keys(values).find((name) => values[name] === value) ?? "unknown").toLowerCase();
}
