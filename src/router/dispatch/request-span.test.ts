import { propagation, trace } from "@opentelemetry/api";
import type { Context, Span, SpanOptions, TextMapGetter, TextMapSetter } from "@opentelemetry/api";
import { expect, test } from "vitest";
import { RequestSpan } from "./request-span.js";
import { readRequestHead } from "./request-head.js";

const traceId = "0af7651916cd43dd8448eb211c80319c";

/** What a recording SDK would have been told. */
interface Recorded {
  name: string;
  parent: string | undefined;
  attributes: Record<string, unknown>;
  failed: boolean;
  ended: boolean;
}

const spans: Recorded[] = [];

/** Registers the smallest tracer and propagator that record. The API takes the first of a process, for good. */
function record(): void {
  const start = (name: string, _: SpanOptions | undefined, parent: Context | undefined): Span => {
    const context = { traceId, spanId: "00000000000000aa", traceFlags: 1 };
    const parentId = parent === undefined ? undefined : trace.getSpanContext(parent)?.spanId;
    const recorded: Recorded = { name, parent: parentId, attributes: {}, failed: false, ended: false };
    spans.push(recorded);
    const span = {
      spanContext: () => context,
      setAttribute: (key: string, value: unknown) => Object.assign(recorded.attributes, { [key]: value }),
      setAttributes: (attributes: object) => Object.assign(recorded.attributes, attributes),
      updateName: (updated: string) => (recorded.name = updated),
      setStatus: () => (recorded.failed = true),
      end: () => (recorded.ended = true),
    };
    return span as unknown as Span;
  };
  trace.setGlobalTracerProvider({ getTracer: () => ({ startSpan: start, startActiveSpan: () => undefined as never }) });
  propagation.setGlobalPropagator({
    inject(context: Context, carrier: unknown, setter: TextMapSetter) {
      const span = trace.getSpanContext(context);
      setter.set(carrier, "traceparent", `00-${span?.traceId}-${span?.spanId}-01`);
    },
    extract(context: Context, carrier: unknown, getter: TextMapGetter) {
      const [, id = "", spanId = ""] = String(getter.get(carrier, "traceparent")).split("-");
      return trace.setSpanContext(context, { traceId: id, spanId, traceFlags: 1, isRemote: true });
    },
    fields: () => ["traceparent"],
  });
}

const callers = { traceparent: `00-${traceId}-b7ad6b7169203331-01` };

test("without an SDK nothing is added to the request", () => {
  expect(new RequestSpan(callers).headers()).toEqual({});
});

test("a span is the caller's child and the worker's parent", () => {
  record();
  const span = new RequestSpan(callers);
  expect(span.headers()).toEqual({ traceparent: `00-${traceId}-00000000000000aa-01` });
  span.describe({ ...readRequestHead(new Uint8Array()), adapter: { id: "acme/a", revision: "", digest: "" } }, "r1");
  span.end({ status: 0, target: { name: "w2", address: "" } }, ["w1", "w2"]);
  expect(spans).toEqual([
    {
      name: "text_completion acme/a",
      parent: "b7ad6b7169203331",
      attributes: {
        "gen_ai.operation.name": "text_completion",
        "gen_ai.provider.name": "polygraft",
        "gen_ai.request.model": "acme/a",
        "polygraft.request.id": "r1",
        "polygraft.worker": "w2",
        "polygraft.workers.tried": ["w1", "w2"],
        "rpc.grpc.status_code": 0,
      },
      failed: false,
      ended: true,
    },
  ]);
});

test("a failed call is a failed span", () => {
  spans.length = 0;
  new RequestSpan({}).end({ status: 14 }, []);
  expect(spans).toMatchObject([{ failed: true, ended: true, attributes: { "rpc.grpc.status_code": 14 } }]);
});
