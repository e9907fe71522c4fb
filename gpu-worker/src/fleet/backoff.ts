/** Bounds of waits between tries, in milliseconds. */
export interface BackoffOptions {
  readonly firstMillis: number;
  readonly mostMillis: number;
  /** Uniform in [0, 1). Default: `Math.random`. */
  readonly random?: () => number;
}

/**
 * Waits between tries: each drawn at random below a bound that doubles, so that workers which lost a router together
 * do not all come back at once ("full jitter").
 */
export class Backoff {
  private readonly options: BackoffOptions;
  private failures = 0;

  constructor(options: BackoffOptions) {
    this.options = options;
  }

  /** The next wait, in milliseconds. */
  next(): number {
    const { firstMillis, mostMillis, random = Math.random } = this.options;
    const bound = Math.min(mostMillis, firstMillis * 2 ** this.failures);
    this.failures = Math.min(this.failures + 1, 32);
    return bound * random();
  }

  /** A try held: the next wait is short again. */
  reset(): void {
    this.failures = 0;
  }
}
