import { Accepted, GenerateRequest, GenerateResponse, OnMiss } from "@polygraft/api";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { framed } from "../relay/request-reader.js";
import { DeliveredOutput } from "./delivered-output.js";
import { remainderOf } from "./remainder.js";

type Event = NonNullable<Parameters<typeof GenerateResponse.fromPartial>[0]>["event"];
const frame = (event: Event): Buffer => framed(GenerateResponse.encode(GenerateResponse.fromPartial({ event })).finish());

const adapter = { id: "a", revision: "", digest: "sha256:abc" };
const accepted = frame({ $case: "accepted", value: { requestId: "r", worker: "w1", adapter, seed: 2n ** 63n + 5n } });
const deltaOf = (text: string, tokenIds: number[], logprobs: { logprob: number }[] = []): Buffer =>
  frame({ $case: "delta", value: { text, tokenIds, logprobs } });

describe("DeliveredOutput", () => {
  test("knows tokens, bytes of text, seed and adapter, however messages come together", () => {
    const token = fc.integer({ min: 0, max: 2 ** 32 - 1 });
    const delta = fc.record({ text: fc.string({ unit: "grapheme" }), tokenIds: fc.array(token), logprobs: fc.array(fc.record({ logprob: fc.float() })) });
    fc.assert(
      fc.property(fc.array(delta, { maxLength: 100 }), fc.boolean(), (deltas, together) => {
        const output = new DeliveredOutput();
        const frames = [accepted, ...deltas.map(({ text, tokenIds, logprobs }) => deltaOf(text, tokenIds, logprobs))];
        for (const part of together ? [Buffer.concat(frames)] : frames) output.push(part);
        const got = output.get()!;
        expect([...got.tokenIds]).toEqual(deltas.flatMap(({ tokenIds }) => tokenIds));
        expect(got.textBytes).toBe(Buffer.byteLength(deltas.map(({ text }) => text).join("")));
        expect(got.accepted).toMatchObject({ adapter: { digest: "sha256:abc" }, seed: 2n ** 63n + 5n });
      }),
    );
  });

  test("after another adapter content took over, nobody can go on: what is there comes from both", () => {
    const output = new DeliveredOutput();
    output.push(Buffer.concat([accepted, deltaOf("x", [1])]));
    expect(output.get()).toBeDefined();
    output.push(frame({ $case: "adapterChanged", value: { adapter: { ...adapter, digest: "sha256:new" }, outputTokens: 1 } }));
    output.push(deltaOf("y", [2]));
    expect(output.get()).toBeUndefined();
  });

  test("scores of the prompt can be had only once, so nobody goes on before the first token", () => {
    const output = new DeliveredOutput();
    output.push(Buffer.concat([accepted, frame({ $case: "promptScores", value: { start: 0, tokens: [{ logprob: -1 }] } })]));
    expect(output.get()).toBeUndefined();
    output.push(deltaOf("x", [1]));
    expect(output.get()).toMatchObject({ textBytes: 1 });
  });

  test("half of a long message is not known, and scores in portions are skipped", () => {
    const output = new DeliveredOutput();
    const scores = frame({ $case: "promptScores", value: { start: 0, tokens: Array.from({ length: 9 }, () => ({ logprob: -1 })) } });
    output.push(Buffer.concat([accepted, scores.subarray(0, 20)]));
    expect(output.get()).toBeUndefined();
    output.push(Buffer.concat([scores.subarray(20), deltaOf("x", [1])]));
    expect(output.get()).toMatchObject({ textBytes: 1 });
    output.push(deltaOf("long", [1, 2, 3]).subarray(0, 12));
    expect(output.get()).toBeUndefined();
  });

  test.each([
    ["compressed", Buffer.concat([Buffer.from([1]), accepted.subarray(1)])],
    ["of another kind", framed(Buffer.from([0x7a, 1, 0]))],
    ["with a length that is wrong", framed(Buffer.from([0x1a, 9, 0x0a, 1]))],
  ])("what is %s is not known", (_, message) => {
    const output = new DeliveredOutput();
    output.push(accepted);
    output.push(message);
    expect(output.get()).toBeUndefined();
  });

  test("bytes of any kind end, and throw nothing", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 })), (parts) => {
        const output = new DeliveredOutput();
        for (const part of parts) output.push(framed(part));
        for (const part of parts) output.push(Buffer.from(part));
      }),
    );
  });
});

describe("remainderOf", () => {
  const delivered = { accepted: Accepted.fromPartial({ seed: 9n, adapter }), tokenIds: Uint32Array.of(5, 300), textBytes: 7 };
  const request = GenerateRequest.fromPartial({
    requestId: "r",
    adapter: { id: "a" },
    prompt: { $case: "text", value: "hi" },
    sampling: { temperature: 0.5, logitBias: [{ tokenId: 1, bias: 2 }] },
    stopping: { maxTokens: 40 },
    onMiss: OnMiss.BASE,
  });

  test("is the same request, of the same content and seed, from there on", () => {
    const rest = GenerateRequest.decode(remainderOf(GenerateRequest.encode(request).finish(), delivered));
    expect(rest).toEqual({
      ...request,
      adapter,
      sampling: { ...request.sampling, seed: 9n },
      onMiss: OnMiss.WAIT,
      resume: { tokenIds: [5, 300], textBytes: 7 },
    });
  });

  test("goes on after what the client had before", () => {
    const resumed = { ...request, resume: { tokenIds: [1, 2], textBytes: 3 } };
    const rest = GenerateRequest.decode(remainderOf(GenerateRequest.encode(resumed).finish(), delivered));
    expect(rest.resume).toEqual({ tokenIds: [1, 2, 5, 300], textBytes: 10 });
  });

  test("stays with the base where the base has answered in the adapter's place", () => {
    const fellBack = { ...delivered, accepted: Accepted.fromPartial({ seed: 9n, fellBackToBase: true }) };
    const rest = GenerateRequest.decode(remainderOf(GenerateRequest.encode(request).finish(), fellBack));
    expect(rest.adapter).toBeUndefined();
  });

  test("keeps fields that the router does not know", () => {
    const unknown = Buffer.concat([GenerateRequest.encode(request).finish(), Buffer.from([0xf2, 0x3f, 1, 42])]);
    expect(remainderOf(unknown, delivered).includes(Buffer.from([0xf2, 0x3f, 1, 42]))).toBe(true);
  });
});
