/** What a model said about each token of some texts, but for the first of each. */
export interface Scores {
  /** Natural log-probabilities of the tokens that stand there. */
  readonly logprobs: Float64Array;
  /** The most probable tokens at their places. */
  readonly best: Uint32Array;
}

/** How far a model is from its reference on the same tokens. */
export interface Difference {
  readonly perplexity: number;
  /** Perplexity over the reference's, minus 1. */
  readonly perplexityChange: number;
  /** Standard error of it, from the spread over tokens of what they share. */
  readonly perplexityError: number;
  /** Share of tokens before which both hold the same token for the most probable one. */
  readonly sameBest: number;
  /** Mean absolute difference of log-probabilities, in nats. */
  readonly meanAbsolute: number;
}

/** What becomes of the changes that an adapter makes. */
export interface Regression {
  /** Of the changes here on those of the reference: 1 where all of them survive. */
  readonly slope: number;
  readonly correlation: number;
}

export function perplexity({ logprobs }: Scores): number {
  return Math.exp(-mean(logprobs));
}

/** Compares scores of the same texts. */
export function compare(scores: Scores, reference: Scores): Difference {
  const differences = subtract(scores.logprobs, reference.logprobs);
  const change = Math.exp(-mean(differences)) - 1;
  let same = 0;
  for (let i = 0; i < scores.best.length; i++) if (scores.best[i] === reference.best[i]) same += 1;
  return {
    perplexity: perplexity(scores),
    perplexityChange: change,
    perplexityError: (1 + change) * Math.sqrt(variance(differences) / differences.length),
    sameBest: same / scores.best.length,
    meanAbsolute: mean(differences.map(Math.abs)),
  };
}

/** Least squares of one model's changes on the reference's. `without` and `with` an adapter, on the same texts. */
export function regress(without: Scores, adapted: Scores, referenceWithout: Scores, referenceAdapted: Scores): Regression {
  const y = subtract(adapted.logprobs, without.logprobs);
  const x = subtract(referenceAdapted.logprobs, referenceWithout.logprobs);
  const [meanX, meanY] = [mean(x), mean(y)];
  const covariance = mean(x.map((value, i) => (value - meanX) * ((y[i] ?? 0) - meanY)));
  return { slope: covariance / variance(x), correlation: covariance / Math.sqrt(variance(x) * variance(y)) };
}

function subtract(a: Float64Array, b: Float64Array): Float64Array {
  if (a.length !== b.length) throw new Error(`scores of ${a.length} tokens cannot be compared with scores of ${b.length}`);
  return a.map((value, i) => value - (b[i] ?? 0));
}

function mean(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function variance(values: Float64Array): number {
  const middle = mean(values);
  return mean(values.map((value) => (value - middle) ** 2));
}
