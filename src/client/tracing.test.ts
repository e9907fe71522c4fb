import { ROOT_CONTEXT, context, propagation, trace } from "@opentelemetry/api";
import type { Attributes, Span, SpanStatus, TracerProvider } from "@opentelemetry/api";
import { ServerError, Status } from "nice-grpc";
import { afterEach, expect, test } from "vitest";
import { accepted, delta, finished, serveScript } from "../../test/support/scripted-service.js";
import type { Script } from "../../test/support/scripted-service.js";
import { Polygraft } from "./index.js";

interface Recorded {
  readonly name: string;
  readonly attributes: Attributes;
  readonly events: string[];
  status?: SpanStatus;
  ended: number;
}

const cleanups: (() => void)[] = [];
afterEach(() => cleanups.splice(0).forEach((cleanup) => cleanup()));

/** An OpenTelemetry SDK as small as can be: it keeps spans, and propagates the name of the current one. */
function record(): Recorded[] {
  const spans: Recorded[] = [];
  const startSpan = (name: string, options?: { attributes?: Attributes }): Span => {
    const span: Recorded = { name, attributes: { ...options?.attributes }, events: [], ended: 0 };
    spans.push(span);
    return {
      recorded: span,
      setAttribute: (key: string, value: string) => void (span.attributes[key] = value),
      setAttributes: (more: Attributes) => void Object.assign(span.attributes, more),
      addEvent: (event: string) => void span.events.push(event),
      setStatus: (status: SpanStatus) => void (span.status = status),
      end: () => void (span.ended += 1),
    } as unknown as Span;
  };
  trace.setGlobalTracerProvider({ getTracer: () => ({ startSpan }) } as unknown as TracerProvider);
  propagation.setGlobalPropagator({
    inject(current, carrier, setter) {
      const span = trace.getSpan(current) as unknown as { recorded: Recorded } | undefined;
      if (span !== undefined) setter.set(carrier, "traceparent", span.recorded.name);
    },
    extract: () => ROOT_CONTEXT,
    fields: () => ["traceparent"],
  });
  cleanups.push(() => {
    trace.disable();
    propagation.disable();
    context.disable();
  });
  return spans;
}

async function connect(script: Script): Promise<Polygraft> {
  const server = await serveScript(script);
  const client = new Polygraft({ address: server.address, retry: { initialBackoffMs: 1 } });
  cleanups.push(() => client.close(), () => server.close());
  return client;
}

test("a generation is one span with the names of the conventions, and the server is part of its trace", async () => {
  const spans = record();
  let parent: string | undefined;
  const client = await connect(async function* (request, { metadata }) {
    parent = metadata.get("traceparent");
    yield accepted(request.requestId);
    yield delta("a", 1);
    yield delta("b", 2);
    yield finished(2);
  });
  await client.generate({ prompt: "secret words", adapter: "acme/a@v1", maxTokens: 7, temperature: 0.5 }).text();
  expect(spans).toHaveLength(1);
  expect(spans[0]).toMatchObject({
    name: "text_completion acme/a@v1",
    ended: 1,
    events: [],
    attributes: {
      "gen_ai.operation.name": "text_completion",
      "gen_ai.provider.name": "polygraft",
      "gen_ai.request.model": "acme/a@v1",
      "gen_ai.request.max_tokens": 7,
      "gen_ai.request.temperature": 0.5,
      "gen_ai.response.finish_reasons": ["max-tokens"],
      "gen_ai.usage.input_tokens": 3,
      "gen_ai.usage.output_tokens": 2,
      "polygraft.worker": "worker-1",
    },
  });
  expect(JSON.stringify(spans)).not.toContain("secret");
  expect(parent).toBe("text_completion acme/a@v1");
});

test("retries are events of the span, and a failure is its status", async () => {
  const spans = record();
  const client = await connect(async function* () {
    yield* [];
    throw new ServerError(Status.UNAVAILABLE, "draining");
  });
  await client.generate({ prompt: [{ role: "user", content: "hi" }] }).text().catch(() => {});
  expect(spans[0]).toMatchObject({
    name: "chat",
    ended: 1,
    events: ["retry", "retry"],
    attributes: { "error.type": "UNAVAILABLE" },
    status: { code: 2 },
  });
});
