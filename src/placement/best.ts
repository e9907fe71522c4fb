/** The best worker of one class, as far as a pass over the fleet has come. */

/** The bound below rounds, and so does the logarithm; this is far more than both together. */
const MARGIN = 1 - 1e-9;
/** Scores below are so close to the smallest numbers that the margin would itself be rounded away. */
const SMALLEST_LIMIT = 1e-290;

/**
 * The score, a little lower, for `limit * gap >= weight`: a worker of that weight, whose u is at least `gap` below 1,
 * is then sure not to have a higher score. 0 where nothing can be said.
 */
export function limitOf(score: number): number {
  return score > SMALLEST_LIMIT ? score * MARGIN : 0;
}

/**
 * Keeps the highest score and tells cheaply who cannot beat it. To score each worker and read its live state would be
 * most of the cost of a decision. But -ln(u) >= 1 - u, so weight / (1 - u) is never below the score: only a worker
 * whose bound beats the best so far needs more than that, and after the first few workers hardly any does.
 */
export class Best {
  index = -1;
  score = Number.NEGATIVE_INFINITY;
  #limit = 0;

  /** Whether a worker of that weight, whose u is at least `gap` below 1, is sure not to have a higher score. */
  beats(weight: number, gap: number): boolean {
    return this.#limit * gap >= weight;
  }

  /** Whether the best is better than another class's: ties go to the smaller name, and positions follow names. */
  precedes(other: Best): boolean {
    return this.score > other.score || (this.score === other.score && this.index < other.index);
  }

  /** Workers are offered in the order of their names, so `>` leaves ties with the smaller one. */
  offer(index: number, score: number): void {
    if (score > this.score) {
      this.index = index;
      this.score = score;
      this.#limit = limitOf(score);
    }
  }
}
