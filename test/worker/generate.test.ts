import { FinishReason, Tier } from "@polygraft/api";
import { afterAll, beforeAll, expect, test } from "vitest";
import { collect, request, temporaryWorker, type TemporaryWorker } from "../support/worker-fixture.js";

let tiny: TemporaryWorker;
beforeAll(async () => {
  tiny = await temporaryWorker({ a: { seed: 1 }, b: { seed: 2, rank: 4, targets: ["o_proj", "down_proj"] } });
});
afterAll(async () => tiny[Symbol.asyncDispose]());

test("a stream is accepted, deltas, finished", async () => {
  const { accepted, finished, text, tokenIds } = await collect(tiny.inference.generate(request("hello")));
  expect(accepted).toMatchObject({ worker: "worker-1", model: "tiny", adapter: undefined, promptTokens: 1, tier: Tier.UNSPECIFIED });
  expect(tokenIds).toHaveLength(12);
  expect(text.length).toBeGreaterThan(0);
  expect(finished).toMatchObject({
    reason: FinishReason.MAX_TOKENS,
    usage: { promptTokens: 1, cachedTokens: 0, outputTokens: 12 },
  });
});
