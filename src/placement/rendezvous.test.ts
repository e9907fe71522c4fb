import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { unitInterval } from "./hash.js";
import { preferenceList, prepareFleet } from "./index.js";
import { Top } from "./top.js";

const fleet = prepareFleet([
  { name: "worker-0" },
  { name: "worker-1" },
  { name: "worker-2", weight: 2 },
  { name: "10.0.0.7:50061", weight: 0.5 },
  { name: "gpu-a.example:443" },
]);

// Computed by an implementation in another language: routers written in any must agree on them.
test.each([
  ["", ["worker-1", "worker-0", "10.0.0.7:50061", "gpu-a.example:443", "worker-2"]],
  ["acme/support@v3", ["worker-2", "worker-0", "worker-1", "10.0.0.7:50061", "gpu-a.example:443"]],
  ["größe", ["worker-2", "gpu-a.example:443", "worker-0", "worker-1", "10.0.0.7:50061"]],
  ["org/adapter-17", ["10.0.0.7:50061", "gpu-a.example:443", "worker-1", "worker-2", "worker-0"]],
])("key %j prefers %j", (key, names) => {
  expect(preferenceList(fleet, key)).toEqual(names);
  expect(preferenceList(fleet, key, 2)).toEqual(names.slice(0, 2));
});

test("the logarithm of a score never sees 0 or 1", () => {
  // The hashes that the finalizer turns into all ones, and into all zeros.
  expect(unitInterval({ hi: 0x331da083, lo: 0x331da084 }, 0, 0)).toBe(1 - 2 ** -53);
  expect(unitInterval({ hi: 0, lo: 0 }, 0, 0)).toBe(2 ** -53);
});

describe("Top", () => {
  test("is the head of a stable sort", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(9)), fc.nat(8), (scores, capacity) => {
        const top = new Top<number>(capacity);
        for (const [index, score] of scores.entries()) top.offer(index, score);
        const sorted = [...scores.keys()].sort((a, b) => scores[b]! - scores[a]!);
        expect(top.items).toEqual(sorted.slice(0, capacity));
      }),
    );
  });
});
