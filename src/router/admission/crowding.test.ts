import { expect, test } from "vitest";
import { manualTimers } from "../../../test/support/manual-timers.js";
import { Crowding } from "./crowding.js";

test("it is crowded until nobody has had to wait for a second, and each change is told once", () => {
  const timers = manualTimers();
  const crowding = new Crowding(timers);
  const told: boolean[] = [];
  const stop = crowding.listen(() => told.push(crowding.crowded));
  expect(crowding.crowded).toBe(false);
  crowding.note();
  timers.advance(600);
  crowding.note();
  timers.advance(999);
  expect(told).toEqual([true]);
  timers.advance(1);
  expect(told).toEqual([true, false]);
  expect(timers.pending).toBe(0);
  crowding.note();
  stop();
  timers.advance(1000);
  expect([crowding.crowded, told]).toEqual([false, [true, false, true]]);
});
