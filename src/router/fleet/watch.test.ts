import { LoadSample, ResidencyUpdate, WorkerHello } from "@polygraft/api";
import { expect, test } from "vitest";
import { manualTimers } from "../../../test/support/manual-timers.js";
import { Fleet } from "./fleet.js";
import { watchFleet } from "./watch.js";

/** A fleet of that many workers, and a watcher that has seen all of it. */
async function watched(count: number) {
  const fleet = new Fleet();
  const timers = manualTimers();
  const members = Array.from({ length: count }, (_, index) => {
    const member = fleet.join(WorkerHello.fromPartial({ name: `w${index}`, address: "h:1" }), () => {}, 0);
    fleet.hold(member, ResidencyUpdate.fromPartial({ snapshot: true, complete: true }), 0);
    return member;
  });
  const leaving = new AbortController();
  const watch = watchFleet({ residency: false }, leaving.signal, fleet, timers);
  for (;;) if ((await watch.next()).value?.complete === true) break;
  const heard: string[][] = [];
  const listening = (async () => {
    for await (const { workers, removedWorkers } of watch) heard.push([...workers.map(({ hello }) => hello?.name ?? ""), ...removedWorkers]);
  })();
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  await settled();
  return {
    fleet,
    heard,
    load: (index: number) => fleet.load(members[index]!, LoadSample.fromPartial({ number: 1n }), 0),
    drain: (index: number) => fleet.drain(members[index]!, 0),
    leave: (index: number) => fleet.leave(members[index]!),
    async pass(millis: number) {
      timers.advance(millis);
      await settled();
    },
    async [Symbol.asyncDispose]() {
      leaving.abort();
      await listening;
    },
  };
}

test("loads of a small fleet are told together every 100 ms", async () => {
  await using fleet = await watched(64);
  fleet.load(1);
  await fleet.pass(99);
  fleet.load(2);
  expect(fleet.heard).toEqual([]);
  await fleet.pass(1);
  expect(fleet.heard).toEqual([["w1", "w2"]]);
});

test("the larger a fleet is, the longer loads wait; who drains or leaves does not", async () => {
  await using fleet = await watched(320);
  fleet.load(1);
  await fleet.pass(100);
  expect(fleet.heard).toEqual([]);
  await fleet.pass(399);
  expect(fleet.heard).toEqual([]);
  await fleet.pass(1);
  expect(fleet.heard).toEqual([["w1"]]);
  fleet.load(2);
  await fleet.pass(100);
  fleet.drain(3);
  await fleet.pass(0);
  expect(fleet.heard.at(-1)).toEqual(["w2", "w3"]);
  fleet.leave(4);
  await fleet.pass(99);
  expect(fleet.heard).toHaveLength(2);
  await fleet.pass(1);
  expect(fleet.heard.at(-1)).toEqual(["w4"]);
});
