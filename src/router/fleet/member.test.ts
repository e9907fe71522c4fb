import { LoadSample, WorkerHello } from "@polygraft/api";
import { expect, test } from "vitest";
import { FleetMember } from "./member.js";

const member = (maxSequences: number) =>
  new FleetMember(WorkerHello.fromPartial({ name: "w", epoch: "e", address: "h:1", capacity: { maxSequences } }), () => {}, 0);

test("is full with as many requests as it runs at once, sent by this router or by others", () => {
  const ours = member(2);
  const first = ours.tally.dispatch(10);
  expect(ours.full).toBe(false);
  ours.tally.dispatch(10);
  expect(ours.full).toBe(true);
  ours.tally.release(first);
  expect(ours.full).toBe(false);
  ours.tally.take(LoadSample.fromPartial({ runningRequests: 1, waitingRequests: 1 }));
  expect(ours.full).toBe(true);
});

test("is never full if it does not say how many it runs", () => {
  const silent = member(0);
  for (let i = 0; i < 100; i++) silent.tally.dispatch(10);
  expect(silent.full).toBe(false);
});
