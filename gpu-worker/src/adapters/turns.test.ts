import fc from "fast-check";
import { expect, test } from "vitest";
import type { AdapterVersion } from "./adapter-version.js";
import { Turns } from "./turns.js";

interface Stay {
  readonly now: number;
  readonly steps: number;
  readonly unserved?: number;
  readonly pinned?: boolean;
}

const there = ({ now, steps, unserved = 0, pinned = false }: Stay): AdapterVersion =>
  ({ residentSince: { now, steps }, unserved, pinned, host: {} }) as unknown as AdapterVersion;

const turns = new Turns(1000);
/** The index of the version whose stay is over. */
const over = (stays: readonly Stay[], at: { now: number; steps: number }, hurry: boolean, of = turns): number => {
  const versions = stays.map(there);
  const one = of.over(versions, at, hurry);
  return one ? versions.indexOf(one) : -1;
};

test("against those that can wait, a stay is a turn, and a whole step at least", () => {
  const stays = [{ now: 100, steps: 5 }];
  expect(over(stays, { now: 1099, steps: 50 }, false)).toBe(-1);
  expect(over(stays, { now: 1100, steps: 6 }, false)).toBe(-1);
  expect(over(stays, { now: 1100, steps: 7 }, false)).toBe(0);
});

test("against those that cannot wait, a whole step is enough, unless somebody has had no token yet", () => {
  expect(over([{ now: 100, steps: 5 }], { now: 101, steps: 6 }, true)).toBe(-1);
  expect(over([{ now: 100, steps: 5 }], { now: 101, steps: 7 }, true)).toBe(0);
  expect(over([{ now: 100, steps: 5, unserved: 1 }], { now: 101, steps: 7 }, true)).toBe(-1);
  expect(over([{ now: 100, steps: 5, unserved: 1 }], { now: 1100, steps: 7 }, true)).toBe(0);
});

test("an engine that takes no steps keeps nobody waiting for ever", () => {
  expect(over([{ now: 0, steps: 5 }], { now: 60_000, steps: 5 }, true)).toBe(0);
});

test("who was there first goes, and never what is pinned", () => {
  const stays = [{ now: 200, steps: 0 }, { now: 50, steps: 0, pinned: true }, { now: 100, steps: 0 }];
  expect(over(stays, { now: 5000, steps: 9 }, false)).toBe(2);
});

test("without turns nobody goes", () => {
  expect(over([{ now: 0, steps: 0 }], { now: 1e6, steps: 100 }, true, new Turns(0))).toBe(-1);
});

test("a turn after the last one came, and two steps, somebody can go, whoever they are", () => {
  const stay = fc.record({ now: fc.nat(10_000), steps: fc.nat(50), unserved: fc.nat(2) });
  fc.assert(
    fc.property(fc.array(stay, { minLength: 1, maxLength: 8 }), fc.boolean(), (stays, hurry) => {
      const at = { now: Math.max(...stays.map(({ now }) => now)) + 1000, steps: Math.max(...stays.map(({ steps }) => steps)) + 2 };
      const gone = over(stays, at, hurry);
      expect(stays[gone]?.now).toBe(Math.min(...stays.map(({ now }) => now)));
    }),
  );
});
