import { LoadSample } from "@polygraft/api";
import fc from "fast-check";
import { expect, test } from "vitest";
import { StepProgress } from "./step-progress.js";

const sample = fc.record(
  {
    steps: fc.bigInt(0n, 2n),
    inFlightTokens: fc.nat(1),
    runningRequests: fc.nat(1),
  },
  { requiredKeys: [] },
);

test("an engine is stuck since the first sample of the last run of equal steps with work", () => {
  fc.assert(
    fc.property(fc.array(sample), (samples) => {
      const progress = new StepProgress();
      for (const [now, one] of samples.entries()) progress.take(LoadSample.fromPartial(one), now);
      const busy = ({ steps, inFlightTokens, runningRequests }: (typeof samples)[number]) =>
        steps !== undefined && (inFlightTokens ?? runningRequests ?? 0) > 0;
      const last = samples.at(-1);
      const broken = samples.findLastIndex((one) => !busy(one) || one.steps !== last?.steps);
      expect(progress.stuckFor(samples.length)).toBe(last !== undefined && busy(last) ? samples.length - broken - 1 : 0);
    }),
  );
});

test("time before a restart does not count", () => {
  const progress = new StepProgress();
  const busy = LoadSample.fromPartial({ steps: 5n, inFlightTokens: 10 });
  progress.take(busy, 0);
  expect(progress.stuckFor(70)).toBe(70);
  progress.restart();
  expect(progress.stuckFor(80)).toBe(0);
  progress.take(busy, 90);
  expect(progress.stuckFor(100)).toBe(10);
});
