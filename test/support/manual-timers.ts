import type { Timers } from "../../src/router/timers.js";

/** Time that passes only when a test says so. */
export interface ManualTimers extends Timers {
  /** Lets time pass; timers that fall due fire in their order. */
  advance(millis: number): void;
  /** Timers that are set. */
  readonly pending: number;
}

/** A clock that stands at 0. */
export function manualTimers(): ManualTimers {
  const timers = new Map<object, { readonly at: number; readonly callback: () => void }>();
  let now = 0;
  return {
    now: () => now,
    after(millis, callback) {
      const key = {};
      timers.set(key, { at: now + millis, callback });
      return () => timers.delete(key);
    },
    advance(millis) {
      const end = now + millis;
      for (;;) {
        const due = [...timers].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at)[0];
        if (due === undefined) break;
        const [key, { at, callback }] = due;
        timers.delete(key);
        now = at;
        callback();
      }
      now = end;
    },
    get pending() {
      return timers.size;
    },
  };
}
