/** Uniform in [0, 1). */
export type Uniform = () => number;

/** A small seeded generator (mulberry32): the same seed gives the same numbers on every machine. */
export function seeded(seed: number): Uniform {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Exponentially distributed with a mean of 1: the times between the arrivals of a Poisson process. */
export function exponential(uniform: Uniform): number {
  return -Math.log(1 - uniform());
}

/** Log-normally distributed with that median; `sigma` is the deviation of the logarithm. */
export function logNormal(uniform: Uniform, median: number, sigma: number): number {
  const normal = Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  return median * Math.exp(sigma * normal);
}

/** Zipf's law: rank r of `count` is drawn with a probability proportional to (r + 1) ** -exponent. */
export class Zipf {
  readonly #cumulated: Float64Array;

  constructor(count: number, exponent: number) {
    this.#cumulated = new Float64Array(count);
    let sum = 0;
    for (let rank = 0; rank < count; rank++) this.#cumulated[rank] = sum += (rank + 1) ** -exponent;
  }

  /** A rank, from 0. */
  draw(uniform: Uniform): number {
    const at = uniform() * this.#cumulated.at(-1)!;
    let low = 0;
    let high = this.#cumulated.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#cumulated[middle]! <= at) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
