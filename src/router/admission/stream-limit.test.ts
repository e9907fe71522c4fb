import { expect, test } from "vitest";
import { StreamLimit } from "./stream-limit.js";

test("refuses what is above the limit, with a time to come back, until a place is free", () => {
  const limit = new StreamLimit(2);
  expect([limit.enter(), limit.enter()]).toEqual([undefined, undefined]);
  expect(limit.enter()).toMatchObject({ status: 8, reason: "QUEUE_FULL", retryAfterMillis: 500 });
  expect(limit.running).toBe(2);
  limit.leave();
  expect(limit.enter()).toBeUndefined();
});
