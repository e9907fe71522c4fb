import { ResidencyUpdate, WorkerHello } from "@polygraft/api";
import { expect, test } from "vitest";
import { manualTimers } from "../../../test/support/manual-timers.js";
import { Fleet } from "../fleet/fleet.js";
import { settled } from "./settled.js";

/** Whether the router would open to clients now. */
function waiting() {
  const fleet = new Fleet();
  const timers = manualTimers();
  const stopping = new AbortController();
  let isOpen = false;
  void settled(fleet, timers, stopping.signal).then(() => (isOpen = true));
  const pass = async (millis: number) => {
    timers.advance(millis);
    await new Promise((resolve) => setImmediate(resolve));
    return isOpen;
  };
  const join = (name: string) => {
    const member = fleet.join(WorkerHello.fromPartial({ name, address: "h:1" }), () => {}, 0);
    fleet.hold(member, ResidencyUpdate.fromPartial({ snapshot: true, complete: true }), 0);
  };
  return { pass, join, timers, stopping };
}

test("waits until no more workers come", async () => {
  const { pass, join, timers } = waiting();
  expect(await pass(1000)).toBe(false);
  join("w1");
  expect(await pass(400)).toBe(false);
  join("w2");
  expect(await pass(499)).toBe(false);
  expect(await pass(1)).toBe(true);
  expect(timers.pending).toBe(0);
});

test("gives up waiting where none comes, or where it has to stop", async () => {
  const { pass } = waiting();
  expect(await pass(4999)).toBe(false);
  expect(await pass(1)).toBe(true);
  const stopped = waiting();
  stopped.stopping.abort();
  expect(await stopped.pass(0)).toBe(true);
  expect(stopped.timers.pending).toBe(0);
});
