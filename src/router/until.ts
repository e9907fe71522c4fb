/**
 * Waits for one event, or for the signal to abort.
 *
 * @param start Begins to wait and calls `done` when the event comes; its result is called in any case, to clean up.
 */
export function until(signal: AbortSignal, start: (done: () => void) => () => void): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      signal.removeEventListener("abort", done);
      stop();
      resolve();
    };
    const stop = start(done);
    signal.addEventListener("abort", done, { once: true });
  });
}

/** Waits for the signal to abort. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  return until(signal, () => () => {});
}
