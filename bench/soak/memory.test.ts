import { expect, test } from "vitest";
import { growth, residentBytes } from "./memory.js";

const samples = (bytes: (second: number) => number) => Array.from({ length: 101 }, (_, second) => ({ at: second * 1000, bytes: bytes(second) }));

test("what grows in the warm-up is no growth", () => {
  const { first, last, peak } = growth(samples((second) => Math.min(second, 40)));
  expect([first, last, peak]).toEqual([40, 40, 40]);
});

test("what comes and goes is no growth, however high it peaks", () => {
  const { first, last, peak } = growth(samples((second) => (second % 5 === 0 ? 900 : 100)));
  expect([first, last, peak]).toEqual([100, 100, 900]);
});

test("what grows all the time shows", () => {
  const { first, last } = growth(samples((second) => second));
  expect(last - first).toBeGreaterThan(40);
});

test("a process's resident memory is known", () => {
  expect(residentBytes(process.pid)).toBeGreaterThan(10 * 2 ** 20);
});
