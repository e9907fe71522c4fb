/** Time as the router sees it. Injected, so that tests move it by hand instead of waiting. */
export interface Timers {
  /** Milliseconds on a clock that never goes back. */
  now(): number;
  /** Calls back once after that many milliseconds; the result calls it off. */
  after(millis: number, callback: () => void): () => void;
}

/** `setTimeout` fires at once beyond this. */
const longestTimeout = 2 ** 31 - 1;

/** The real time. A wait of more than 24 days never ends, which is what such deadlines mean. */
export const systemTimers: Timers = {
  now: () => performance.now(),
  after(millis, callback) {
    if (millis > longestTimeout) return () => {};
    const timer = setTimeout(callback, Math.max(0, millis));
    return () => clearTimeout(timer);
  },
};
