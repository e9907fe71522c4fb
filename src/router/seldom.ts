import type { LogFields } from "./log.js";
import type { Timers } from "./timers.js";

/** Shortest time between two entries, in milliseconds. */
const pauseMillis = 5000;

/** Lets an entry that others can cause at will into the log once in five seconds; `more` counts those left out since. */
export function seldom(write: (fields: LogFields) => void, timers: Timers): (fields: LogFields) => void {
  let next = Number.NEGATIVE_INFINITY;
  let leftOut = 0;
  return (fields) => {
    const now = timers.now();
    if (now < next) {
      leftOut += 1;
      return;
    }
    next = now + pauseMillis;
    write(leftOut === 0 ? fields : { ...fields, more: leftOut });
    leftOut = 0;
  };
}
