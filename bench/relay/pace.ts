/**
 * Calls `step` every so many milliseconds, or at each turn of the event loop if 0. A step that comes late does not move
 * those after it, and steps are not made up for: a backlog would arrive as a burst that no worker sends.
 *
 * The loop spins, because timers are a millisecond too coarse: it needs a core of its own.
 */
export function pace(stepMillis: number, step: () => void): () => void {
  let stopped = false;
  let due = performance.now();
  const turn = () => {
    if (stopped) return;
    const now = performance.now();
    if (now >= due) {
      step();
      due = stepMillis === 0 ? now : Math.max(due + stepMillis, now);
    }
    setImmediate(turn);
  };
  turn();
  return () => (stopped = true);
}
