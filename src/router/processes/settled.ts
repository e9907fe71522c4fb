import type { Fleet } from "../fleet/fleet.js";
import type { Timers } from "../timers.js";
import { until } from "../until.js";

/** Without another worker for so long, in milliseconds, all are thought to be there. */
const quietMillis = 500;

/** No longer than this, in milliseconds: there may be no workers. */
const mostMillis = 5000;

/** Resolves when the workers have joined a router that took the place of another one, or when the signal aborts. */
export function settled(fleet: Fleet, timers: Timers, signal: AbortSignal): Promise<void> {
  return until(signal, (done) => {
    const giveUp = timers.after(mostMillis, done);
    let cancel = () => {};
    const stop = fleet.listen({
      changed() {
        cancel();
        cancel = timers.after(quietMillis, done);
      },
    });
    return () => {
      giveUp();
      cancel();
      stop();
    };
  });
}
