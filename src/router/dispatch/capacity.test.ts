import { ResidencyUpdate, WorkerHello } from "@polygraft/api";
import { expect, test } from "vitest";
import { Fleet } from "../fleet/fleet.js";
import { sequencesOf } from "./capacity.js";

function members(...sequences: readonly (number | undefined)[]) {
  const fleet = new Fleet();
  for (const [index, maxSequences] of sequences.entries()) {
    const hello = WorkerHello.fromPartial({ name: `w${index}`, address: "h:1", model: { name: "tiny" } });
    if (maxSequences !== undefined) hello.capacity = { ...emptyCapacity, maxSequences };
    const member = fleet.join(hello, () => {}, 0);
    fleet.hold(member, ResidencyUpdate.fromPartial({ snapshot: true, complete: true }), 0);
  }
  return fleet.view.members;
}

const emptyCapacity = { maxStepTokens: 0, maxQueue: 0, adapterBytes: 0n, adapterRankUnits: 0, kvBlocks: 0, kvBlockTokens: 0 };

test("a quarter more than the workers' batches hold", () => {
  expect(sequencesOf(members(32, 8))).toBe(50);
});

test("no bound while nobody has joined, or somebody does not say", () => {
  expect([sequencesOf(members()), sequencesOf(members(32, undefined)), sequencesOf(members(32, 0))]).toEqual([Infinity, Infinity, Infinity]);
});
