import { expect, test } from "vitest";
import { LoadTally } from "./load-tally.js";

test("counts what was sent since the last sample", () => {
  const tally = new LoadTally();
  tally.take({ inFlightTokens: 100 });
  const one = tally.dispatch(50);
  expect(tally.inFlightTokens).toBe(150);
  tally.dispatch(7);
  tally.release(one);
  expect(tally.inFlightTokens).toBe(107);
});

test("a sample knows what was sent before it", () => {
  const tally = new LoadTally();
  const before = tally.dispatch(50);
  tally.take({ inFlightTokens: 60 });
  tally.dispatch(5);
  tally.release(before);
  expect(tally.inFlightTokens).toBe(65);
});

test("a worker that never says its tokens is counted by what was sent alone", () => {
  const tally = new LoadTally();
  const one = tally.dispatch(50);
  tally.take({ runningRequests: 3 });
  expect(tally.inFlightTokens).toBe(50);
  tally.release(one);
  expect(tally.inFlightTokens).toBe(0);
});
