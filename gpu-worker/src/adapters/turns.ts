import type { AdapterVersion } from "./adapter-version.js";

/** Steps after which a version was in one from its beginning to its end: the one that ran when it came does not count. */
const WHOLE_STEP = 2;
/** Where the engine takes no steps, because those that are there have nothing to compute, this long is enough too. */
const STILL_MILLIS = 5000;

/** A moment, in time and in steps of the engine. */
export interface Moment {
  /** Milliseconds. */
  readonly now: number;
  readonly steps: number;
}

/**
 * How long a version in use stays on the device when others want its place: by multi-level feedback, so that those come
 * first that have had the least.
 *
 * Against those who cannot wait it stays until all of its own requests have had their first token, and for a step, so
 * that it has come forward; against the others, which have had their turn before, for a turn. Of all whose stay is over,
 * the one that is there for the longest time goes.
 */
export class Turns {
  private readonly turnMillis: number;

  /** `turnMillis`: 0: to the end of its use. */
  constructor(turnMillis: number) {
    this.turnMillis = turnMillis;
  }

  /** Of versions in use, the one to be parked for a claim, if there is any. `hurry`: the claim cannot wait. */
  over(versions: Iterable<AdapterVersion>, at: Moment, hurry: boolean): AdapterVersion | undefined {
    if (this.turnMillis === 0) return undefined;
    let longest: AdapterVersion | undefined;
    for (const version of versions) {
      if (version.pinned || version.host === undefined || !this.isOver(version, at, hurry)) continue;
      if (!longest || version.residentSince.now < longest.residentSince.now) longest = version;
    }
    return longest;
  }

  private isOver({ residentSince, unserved }: AdapterVersion, { now, steps }: Moment, hurry: boolean): boolean {
    const stay = now - residentSince.now;
    if (steps - residentSince.steps < WHOLE_STEP && stay < STILL_MILLIS) return false;
    return stay >= this.turnMillis || (hurry && unserved === 0);
  }
}
