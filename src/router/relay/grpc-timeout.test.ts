import fc from "fast-check";
import { expect, test } from "vitest";
import { formatGrpcTimeout, parseGrpcTimeout } from "./grpc-timeout.js";

test.each([
  ["1H", 3_600_000],
  ["2M", 120_000],
  ["30S", 30_000],
  ["250m", 250],
  ["1500u", 1.5],
  ["99999999n", 99.999999],
  ["0S", 0],
])("%s", (text, millis) => {
  expect(parseGrpcTimeout(text)).toBeCloseTo(millis, 9);
});

test.each(["", "1", "S", "-1S", "1.5S", "123456789S", "1s", "1H ", "1HH", "0x1S"])("%j is malformed", (text) => {
  expect(parseGrpcTimeout(text)).toBeUndefined();
});

test("what is written can be read, is never later, and is at most a part in a thousand earlier", () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1e14, noNaN: true }), (millis) => {
      const read = parseGrpcTimeout(formatGrpcTimeout(millis));
      expect(read).toBeLessThanOrEqual(millis + 1e-6);
      expect(read).toBeGreaterThanOrEqual(millis * 0.999 - 0.001);
    }),
  );
});

test("a deadline that has passed is zero", () => {
  expect(formatGrpcTimeout(-5)).toBe("0u");
});
