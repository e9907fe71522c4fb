import { SpanKind, SpanStatusCode, context, trace } from "@opentelemetry/api";
import type { Attributes, Context, Span } from "@opentelemetry/api";
import type { GenerateRequest } from "@polygraft/api";
import { formatAdapterRef } from "./adapter-reference.js";
import type { Address } from "./address.js";
import type { PolygraftError } from "./error.js";
import type { GenerationEvent } from "./events.js";

/**
 * The span of one generation, retries included. Names follow OpenTelemetry's conventions for generative AI, which ask
 * that the model of the request be the fine-tune where there is one. There is no event per token. Without an
 * OpenTelemetry SDK in the process all of this does nothing.
 */
export class GenerationSpan {
  /** What to propagate to the server. */
  readonly context: Context;
  readonly #span: Span;
  readonly #start = performance.now();
  #sawDelta = false;

  constructor({ requestId, prompt, adapter, model: base, sampling, stopping }: GenerateRequest, address: Address) {
    const operation = prompt?.$case === "chat" ? "chat" : "text_completion";
    const model = adapter === undefined ? base || undefined : formatAdapterRef(adapter);
    this.#span = trace.getTracer("@polygraft/client").startSpan(model === undefined ? operation : `${operation} ${model}`, {
      kind: SpanKind.CLIENT,
      attributes: defined({
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "polygraft",
        "gen_ai.request.model": model,
        "gen_ai.request.stream": true,
        "gen_ai.request.max_tokens": stopping?.maxTokens,
        "gen_ai.request.temperature": sampling?.temperature,
        "gen_ai.request.top_p": sampling?.topP,
        "gen_ai.request.top_k": sampling?.topK,
        "gen_ai.response.id": requestId,
        "server.address": address.host,
        "server.port": address.port,
      }),
    });
    this.context = trace.setSpan(context.active(), this.#span);
  }

  /** Notes what an event says about the request as a whole. */
  record(event: GenerationEvent): void {
    if (event.type === "delta" && !this.#sawDelta) {
      this.#sawDelta = true;
      this.#span.setAttribute("gen_ai.response.time_to_first_chunk", (performance.now() - this.#start) / 1000);
    } else if (event.type === "accepted") {
      this.#span.setAttributes(
        defined({
          "gen_ai.response.model": event.adapter === undefined ? event.model : formatAdapterRef(event.adapter),
          "polygraft.model": event.model,
          "polygraft.worker": event.worker,
          "polygraft.adapter.digest": event.adapter?.digest,
          "polygraft.adapter.tier": event.tier,
        }),
      );
    } else if (event.type === "finished") {
      this.#span.setAttributes({
        "gen_ai.response.finish_reasons": [event.reason],
        "gen_ai.usage.input_tokens": event.usage.promptTokens,
        "gen_ai.usage.output_tokens": event.usage.outputTokens,
        "gen_ai.usage.cache_read.input_tokens": event.usage.cachedTokens,
      });
    }
  }

  /** Notes that an attempt failed and is repeated. */
  retried(error: PolygraftError): void {
    this.#span.addEvent("retry", { "error.type": error.code });
  }

  /** Notes that the request failed. */
  failed(error: PolygraftError): void {
    this.#span.setAttribute("error.type", error.code);
    this.#span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
  }

  end(): void {
    this.#span.end();
  }
}

function defined(attributes: Attributes): Attributes {
  return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined));
}
