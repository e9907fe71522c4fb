import fc from "fast-check";
import { expect, test } from "vitest";
import { PolygraftError } from "./error.js";
import { retryDelayMs, retryPolicy } from "./retry.js";

const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

function failure(retryAfterMs?: number): PolygraftError {
  return new PolygraftError("busy", { code: "NO_WORKER", status: "UNAVAILABLE", retryable: true, retryAfterMs });
}

test("a delay is at least what the server asks, at most the longest backoff, and within the deadline", () => {
  const times = fc.integer({ min: 0, max: 20_000 });
  fc.assert(
    fc.property(times, fc.nat(9), times, random, (asked, retries, remaining, draw) => {
      const policy = retryPolicy({ maxRetries: 10 });
      const delay = retryDelayMs(policy, failure(asked), retries, remaining, draw);
      if (delay === undefined) {
        expect(asked > policy.maxBackoffMs || remaining <= Math.max(asked, policy.maxBackoffMs)).toBe(true);
      } else {
        expect(delay).toBeGreaterThanOrEqual(asked);
        expect(delay).toBeLessThanOrEqual(policy.maxBackoffMs);
        expect(delay).toBeLessThan(remaining);
      }
    }),
  );
});

test("backoff doubles from retry to retry", () => {
  const policy = retryPolicy({ maxRetries: 3, initialBackoffMs: 100 });
  const delays = [0, 1, 2, 3].map((retries) => retryDelayMs(policy, failure(), retries, Infinity, 0));
  expect(delays).toEqual([50, 100, 200, undefined]);
});

test("later layers of options win, and false switches retries off", () => {
  expect(retryPolicy({ maxRetries: 5, maxBackoffMs: 9 }, { maxRetries: 1 })).toMatchObject({ maxRetries: 1, maxBackoffMs: 9 });
  expect(retryPolicy({ maxRetries: 5 }, false).maxRetries).toBe(0);
});
