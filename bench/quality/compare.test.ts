import { expect, test } from "vitest";
import { compare, perplexity, regress, type Scores } from "./compare.js";

function scores(logprobs: number[], best: number[] = logprobs.map(() => 0)): Scores {
  return { logprobs: Float64Array.from(logprobs), best: Uint32Array.from(best) };
}

test("perplexity is e to the mean negative log-probability", () => {
  expect(perplexity(scores([-1, -3]))).toBeCloseTo(Math.exp(2), 12);
});

test("a model agrees with itself", () => {
  const one = scores([-1, -2.5, -0.1], [4, 5, 6]);
  expect(compare(one, one)).toEqual({
    perplexity: perplexity(one), perplexityChange: 0, perplexityError: 0, sameBest: 1, meanAbsolute: 0,
  });
});

test("differences are those of the tokens, with the error of their mean", () => {
  const difference = compare(scores([-1.1, -2.3, -0.5, -1], [1, 2, 3, 9]), scores([-1, -2, -0.5, -1], [1, 2, 3, 4]));
  expect(difference.perplexityChange).toBeCloseTo(Math.exp(0.1) - 1, 12);
  expect(difference.sameBest).toBe(0.75);
  expect(difference.meanAbsolute).toBeCloseTo(0.1, 12);
  // Deviations of -0.1, -0.3, 0 and 0 from their mean -0.1: variance 0.06 / 4.
  expect(difference.perplexityError).toBeCloseTo(Math.exp(0.1) * Math.sqrt(0.015 / 4), 12);
});

test("changes that survive in half have the slope one half, and noise lowers the correlation alone", () => {
  const base = scores([-1, -2, -3, -4]);
  const adapted = scores([-2, -2, -1, -4]);
  const halved = scores([-1.5, -2, -2, -4]);
  expect(regress(base, halved, base, adapted).slope).toBeCloseTo(0.5, 12);
  expect(regress(base, halved, base, adapted).correlation).toBeCloseTo(1, 12);
  // Changes of -1, 0, 2, 0 and, besides, 0.5 and -0.5 where the reference has none.
  const noisy = regress(base, scores([-2, -1.5, -1, -4.5]), base, adapted);
  expect(noisy.slope).toBeCloseTo(1, 12);
  expect(noisy.correlation).toBeCloseTo(Math.sqrt(4.75 / 5.25), 12);
});

test("scores of other texts are no reference", () => {
  expect(() => compare(scores([-1]), scores([-1, -2]))).toThrow("cannot be compared");
});
