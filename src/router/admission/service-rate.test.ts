import { expect, test } from "vitest";
import { ServiceRate } from "./service-rate.js";

test("knows nothing at first, then what was seen, and more where requests differ", () => {
  const rate = new ServiceRate();
  expect([rate.millis(10), rate.atMost(10)]).toEqual([0, 0]);
  rate.observe(100, 10);
  expect([rate.millis(10), rate.atMost(10)]).toEqual([100, 100]);
  for (let count = 0; count < 100; count++) rate.observe(count % 2 === 0 ? 80 : 120, 10);
  expect(rate.millis(10)).toBeCloseTo(100, -1);
  expect(rate.atMost(10)).toBeGreaterThan(120);
  expect(rate.atMost(10)).toBeLessThan(160);
});

test("forgets", () => {
  const rate = new ServiceRate();
  for (let count = 0; count < 50; count++) rate.observe(count % 2 === 0 ? 50 : 1500, 10);
  for (let count = 0; count < 100; count++) rate.observe(200, 10);
  expect(rate.atMost(10)).toBeCloseTo(200, 0);
});
