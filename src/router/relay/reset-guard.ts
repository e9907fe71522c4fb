/** How many streams may be reset on one connection. */
export interface ResetLimits {
  /** So many at once. */
  readonly burst: number;
  /** And so many a second in the long run. */
  readonly perSecond: number;
}

/** Below the 1,000 and 33 with which nghttp2 itself ends a connection, as INTERNAL_ERROR. */
export const defaultResetLimits: ResetLimits = { burst: 900, perSecond: 32 };

/**
 * Counts streams that a client resets. Opening and resetting one costs the relay work and the client next to nothing, and
 * frees its place among the concurrent ones at once (CVE-2023-44487, "rapid reset"). A bucket of tokens, full at first.
 */
export class ResetGuard {
  readonly #limits: ResetLimits;
  readonly #now: () => number;
  #left: number;
  #at: number;

  /** @param now milliseconds */
  constructor(limits: ResetLimits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
    this.#left = limits.burst;
    this.#at = now();
  }

  /** How many may be reset now. */
  get left(): number {
    const now = this.#now();
    const { burst, perSecond } = this.#limits;
    this.#left = Math.min(burst, this.#left + ((now - this.#at) * perSecond) / 1000);
    this.#at = now;
    return Math.floor(this.#left);
  }

  /** Counts one; false if it was one too many. */
  allow(): boolean {
    if (this.left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
