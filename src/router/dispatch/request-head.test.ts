import { GenerateRequest } from "@polygraft/api";
import fc from "fast-check";
import { expect, test } from "vitest";
import { checkRequestHead, readRequestHead, requestIdField } from "./request-head.js";

const encode = (request: Parameters<typeof GenerateRequest.fromPartial>[0]) =>
  GenerateRequest.encode(GenerateRequest.fromPartial(request)).finish();

test("reads what a router needs and measures the prompt", () => {
  const head = readRequestHead(
    encode({
      requestId: "r1",
      model: "tiny",
      adapter: { id: "acme/a", revision: "v2" },
      prompt: { $case: "text", value: "x".repeat(400) },
      sampling: { temperature: 1, seed: 7n },
      stopping: { maxTokens: 50 },
      routing: { key: "k", worker: "w", explain: true, failover: false },
      qos: { priority: 3 },
    }),
  );
  expect(head).toMatchObject({
    requestId: "r1",
    model: "tiny",
    adapter: { id: "acme/a", revision: "v2" },
    routing: { key: "k", worker: "w", explain: true, failover: false },
    tokens: 150,
  });
});

test("an empty message is a base request of the default length", () => {
  expect(readRequestHead(new Uint8Array())).toMatchObject({ requestId: "", model: "", adapter: undefined, tokens: 256 });
});

test("an appended id is the request's id, for us and for everybody else", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 20 }), fc.uuid(), (text, id) => {
      const message = Buffer.concat([encode({ model: "m", prompt: { $case: "text", value: text } }), requestIdField(id)]);
      expect(GenerateRequest.decode(message)).toMatchObject({ requestId: id, model: "m", prompt: { value: text } });
      expect(readRequestHead(message).requestId).toBe(id);
    }),
  );
});

test("bytes that are no protobuf throw or mean something, but never hang or break", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        expect(readRequestHead(bytes).tokens).toBeGreaterThanOrEqual(0);
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
      }
    }),
    { numRuns: 2000 },
  );
});

test.each([
  [{ requestId: "ä" }, "request_id"],
  [{ requestId: "x".repeat(129) }, "request_id"],
  [{ adapter: { id: "" } }, "adapter.id"],
  [{ adapter: { id: "x".repeat(513) } }, "adapter.id"],
])("%j is refused", (request, field) => {
  expect(checkRequestHead(readRequestHead(encode(request)))).toMatchObject({ violations: [{ field }] });
});

test("a usual request is not", () => {
  expect(checkRequestHead(readRequestHead(encode({ requestId: "r 1", adapter: { id: "a" } })))).toBeUndefined();
});
