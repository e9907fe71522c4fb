import { getEventListeners } from "node:events";
import { expect, test } from "vitest";
import { onAbort } from "./on-abort.js";

test("hundreds of callbacks cost a signal one listener, and each is called once", () => {
  const controller = new AbortController();
  const called: number[] = [];
  const taken = Array.from({ length: 300 }, (_, index) => onAbort(controller.signal, () => called.push(index)));
  expect(getEventListeners(controller.signal, "abort")).toHaveLength(1);
  for (const takeBack of taken.slice(2)) takeBack();
  controller.abort();
  expect(called).toEqual([0, 1]);
});

test("a callback that takes itself back leaves the others to be called", () => {
  const controller = new AbortController();
  const called: string[] = [];
  const takeBack = onAbort(controller.signal, () => {
    called.push("first");
    takeBack();
  });
  onAbort(controller.signal, () => called.push("second"));
  controller.abort();
  expect(called).toEqual(["first", "second"]);
});
