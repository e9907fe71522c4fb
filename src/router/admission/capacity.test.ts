import { ResidencyUpdate, WorkerHello } from "@polygraft/api";
import { expect, test } from "vitest";
import { Fleet } from "../fleet/fleet.js";
import { sequencesOf } from "./capacity.js";

function totalOf(...sequences: readonly (number | undefined)[]) {
  const fleet = new Fleet();
  for (const [index, maxSequences] of sequences.entries()) {
    const hello = WorkerHello.fromPartial({ name: `w${index}`, address: "h:1", model: { name: "tiny" } });
    if (maxSequences !== undefined) hello.capacity = { ...emptyCapacity, maxSequences };
    const member = fleet.join(hello, () => {}, 0);
    fleet.hold(member, ResidencyUpdate.fromPartial({ snapshot: true, complete: true }), 0);
  }
  return fleet.total("tiny");
}

const emptyCapacity = { maxStepTokens: 0, maxQueue: 0, adapterBytes: 0n, adapterRankUnits: 0, kvBlocks: 0, kvBlockTokens: 0 };

test("a quarter more than the workers' batches hold", () => {
  expect(sequencesOf(totalOf(32, 8))).toBe(50);
});

test("workers that leave count no more", () => {
  const fleet = new Fleet();
  const [untold, told] = [undefined, 8].map((maxSequences, index) => {
    const hello = WorkerHello.fromPartial({ name: `w${index}`, address: "h:1", model: { name: "tiny" } });
    if (maxSequences !== undefined) hello.capacity = { ...emptyCapacity, maxSequences };
    const member = fleet.join(hello, () => {}, 0);
    fleet.hold(member, ResidencyUpdate.fromPartial({ snapshot: true, complete: true }), 0);
    return member;
  });
  expect(sequencesOf(fleet.total("tiny"))).toBe(Infinity);
  fleet.leave(untold!);
  expect(sequencesOf(fleet.total("tiny"))).toBe(10);
  fleet.leave(told!);
  expect(fleet.total("tiny")).toBeUndefined();
});

test("no bound while nobody has joined, or somebody does not say", () => {
  expect([sequencesOf(totalOf()), sequencesOf(totalOf(32, undefined)), sequencesOf(totalOf(32, 0))]).toEqual([Infinity, Infinity, Infinity]);
});
