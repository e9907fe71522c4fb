import { expect, test } from "vitest";
import { ReadingLimit } from "./reading-limit.js";

test("refuses what is above the limit, with a time to come back, until a place is free", () => {
  const limit = new ReadingLimit(2);
  expect([limit.enter(), limit.enter()]).toEqual([undefined, undefined]);
  expect(limit.enter()).toMatchObject({ status: 8, reason: "QUEUE_FULL", retryAfterMillis: 500 });
  expect(limit.reading).toBe(2);
  limit.leave();
  expect(limit.enter()).toBeUndefined();
});
