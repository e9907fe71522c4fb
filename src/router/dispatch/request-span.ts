import { context, propagation, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import type { Context, Span } from "@opentelemetry/api";
import type { IncomingHttpHeaders } from "node:http2";
import type { Outcome } from "../relay/relay.js";
import type { RequestHead } from "./request-head.js";

const tracer = trace.getTracer("@polygraft/router");

/**
 * The span of one request, a child of the caller's. Without an OpenTelemetry SDK in the process it does nothing, and
 * the caller's trace context goes to the worker as it came. Names follow the GenAI conventions, which are still
 * "development"; what they have no name for begins with "polygraft.".
 */
export class RequestSpan {
  readonly #span: Span;
  readonly #context: Context;

  constructor(headers: IncomingHttpHeaders) {
    const parent = propagation.extract(context.active(), headers);
    this.#span = tracer.startSpan("text_completion", { kind: SpanKind.SERVER }, parent);
    this.#context = trace.setSpan(parent, this.#span);
  }

  /** Says what is asked for. */
  describe(head: RequestHead, requestId: string): void {
    const asked = head.adapter?.id ?? head.model;
    if (asked !== "") this.#span.updateName(`text_completion ${asked}`);
    this.#span.setAttributes({
      "gen_ai.operation.name": "text_completion",
      "gen_ai.provider.name": "polygraft",
      "gen_ai.request.model": asked,
      "polygraft.request.id": requestId,
    });
  }

  /** Headers that make the worker's span a child of this one. */
  headers(): Readonly<Record<string, string>> {
    const carrier: Record<string, string> = {};
    propagation.inject(this.#context, carrier);
    return carrier;
  }

  /** Ends the span. `tried` names the workers in the order in which they were tried. */
  end(outcome: Outcome, tried: readonly string[]): void {
    this.#span.setAttributes({ "rpc.grpc.status_code": outcome.status, "polygraft.workers.tried": [...tried] });
    if (outcome.target !== undefined) this.#span.setAttribute("polygraft.worker", outcome.target.name);
    if (outcome.status !== 0) this.#span.setStatus({ code: SpanStatusCode.ERROR });
    this.#span.end();
  }
}
