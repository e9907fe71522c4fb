import { performance } from "node:perf_hooks";

/** Microseconds on a clock that never goes back. */
export function nowMicros(): number {
  return performance.now() * 1000;
}

/** A span of time as the contract carries it: whole microseconds, at most an hour and eleven minutes. */
export function spanMicros(from: number, to: number): number {
  return Math.min(0xffff_ffff, Math.max(0, Math.round(to - from)));
}
