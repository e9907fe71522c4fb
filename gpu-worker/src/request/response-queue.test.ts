import type { Delta, GenerateResponse } from "@polygraft/api";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ResponseQueue } from "./response-queue.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const FINISHED: GenerateResponse = {
  event: { $case: "finished", value: { reason: 1, stopText: "", usage: undefined, timings: undefined } },
};

function queue(coalesceTokens = 1, coalesceMillis = 100): ResponseQueue {
  return new ResponseQueue({ coalesceTokens, coalesceMillis });
}

function step(target: ResponseQueue, ...tokens: number[]): void {
  for (const id of tokens) target.token(`<${id}>`, id, undefined);
  target.flush();
}

async function delta(target: ResponseQueue): Promise<Delta> {
  const response = await target.next();
  if (response?.event?.$case !== "delta") throw new Error(`no delta but ${response?.event?.$case}`);
  return response.event.value;
}

/** Whether `next` would wait. */
async function waits(target: ResponseQueue): Promise<boolean> {
  const next = target.next();
  next.catch(() => {});
  const waiting = Symbol("waiting");
  const first = await Promise.race([next, new Promise((resolve) => process.nextTick(resolve, waiting))]);
  return first === waiting;
}

test("each step is a delta for a client that keeps up", async () => {
  const one = queue();
  step(one, 1);
  expect(await delta(one)).toEqual({ text: "<1>", tokenIds: [1], logprobs: [] });
  step(one, 2);
  expect(await delta(one)).toEqual({ text: "<2>", tokenIds: [2], logprobs: [] });
});

test("a client that is late gets the steps in one delta, none lost", async () => {
  const one = queue();
  for (let id = 0; id < 500; id++) step(one, id);
  const { text, tokenIds } = await delta(one);
  expect(tokenIds).toEqual(Array.from({ length: 500 }, (_, id) => id));
  expect(text).toBe(tokenIds.map((id) => `<${id}>`).join(""));
  expect(await waits(one)).toBe(true);
});

test("no delta has more than 1024 tokens, however late the client is", async () => {
  const one = queue();
  for (let id = 0; id < 2500; id++) step(one, id);
  one.push(FINISHED);
  one.end();
  const sizes: number[] = [];
  for (let response = await one.next(); response; response = await one.next()) {
    if (response.event?.$case === "delta") sizes.push(response.event.value.tokenIds.length);
  }
  expect(sizes).toEqual([1024, 1024, 452]);
});

test("tokens wait for each other, but not for ever", async () => {
  const one = queue(3, 100);
  step(one, 1);
  expect(await waits(one)).toBe(true);
  vi.advanceTimersByTime(99);
  step(one, 2);
  expect(await waits(one)).toBe(true);
  vi.advanceTimersByTime(1);
  expect((await delta(one)).tokenIds).toEqual([1, 2]);
  step(one, 3, 4, 5);
  expect((await delta(one)).tokenIds).toEqual([3, 4, 5]);
});

test("the end does not wait for more tokens", async () => {
  const one = queue(100, 10_000);
  step(one, 1);
  one.text("!");
  one.push(FINISHED);
  one.end();
  expect(await delta(one)).toEqual({ text: "<1>!", tokenIds: [1], logprobs: [] });
  expect(await one.next()).toEqual(FINISHED);
  expect(await one.next()).toBeUndefined();
  expect(vi.getTimerCount()).toBe(0);
});

test("scores come in parts with their positions", async () => {
  const one = queue();
  for (let tokenId = 0; tokenId < 300; tokenId++) one.score({ tokenId, logprob: 0, top: [] });
  one.flush();
  const starts: number[] = [];
  for (let part = 0; part < 2; part++) {
    const response = await one.next();
    if (response?.event?.$case === "promptScores") starts.push(response.event.value.start);
  }
  expect(starts).toEqual([0, 256]);
});

test("empty deltas are not sent", async () => {
  const one = queue();
  one.token("", undefined, undefined);
  one.flush();
  expect(await waits(one)).toBe(true);
});

test("a failure ends the wait and stays", async () => {
  const one = queue(5);
  const next = one.next();
  step(one, 1);
  one.fail(new Error("first"));
  one.fail(new Error("second"));
  await expect(next).rejects.toThrow("first");
  await expect(one.next()).rejects.toThrow("first");
  expect(vi.getTimerCount()).toBe(0);
});
