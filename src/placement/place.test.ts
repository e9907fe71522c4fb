import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { placeByTheBook } from "../../test/support/placement-oracle.js";
import { type PlacementWorker, place, preferenceList, prepareFleet } from "./index.js";

const keys = (count: number) => Array.from({ length: count }, (_, i) => `org-${i % 37}/adapter-${i}`);
const fleetOf = (count: number, more: Partial<PlacementWorker> = {}) =>
  prepareFleet(Array.from({ length: count }, (_, i) => ({ name: `worker-${i}`, ...more })));

const name = fc.string({ minLength: 1, maxLength: 12 });
const worker = fc.record(
  {
    name,
    weight: fc.constantFrom(0.5, 1, 2, 4),
    zone: fc.constantFrom("a", "b", "c"),
    draining: fc.boolean(),
    leaving: fc.boolean(),
    inFlightTokens: fc.nat(20_000),
    full: fc.boolean(),
    freeRankUnits: fc.nat(64),
  },
  { requiredKeys: ["name"] },
);
const workers = fc.uniqueArray(worker, { minLength: 1, maxLength: 12, selector: (w) => w.name });

describe("rendezvous hashing", () => {
  test("spreads keys evenly, and by weight", () => {
    const count = new Map<string, number>();
    const fleet = prepareFleet([
      ...Array.from({ length: 8 }, (_, i) => ({ name: `worker-${i}` })),
      { name: "double", weight: 2 },
    ]);
    for (const key of keys(20_000)) {
      const chosen = preferenceList(fleet, key, 1)[0]!;
      count.set(chosen, (count.get(chosen) ?? 0) + 1);
    }
    for (const [chosen, n] of count) {
      const share = (chosen === "double" ? 2 : 1) / 10;
      expect(n / 20_000).toBeGreaterThan(share * 0.9);
      expect(n / 20_000).toBeLessThan(share * 1.1);
    }
  });

  test.each([2, 3, 8, 9, 33])("a join to %i workers moves at most 1.1/n of the keys, all to the newcomer", (n) => {
    const before = fleetOf(n - 1);
    const after = fleetOf(n);
    const moved = keys(20_000).filter((key) => {
      const to = place(after, { key })!.worker;
      if (place(before, { key })!.worker === to) return false;
      expect(to).toBe(`worker-${n - 1}`);
      return true;
    });
    expect(moved.length / 20_000).toBeLessThanOrEqual(1.1 / n);
  });
});

describe("place", () => {
  test("two routers agree, whatever the order in which workers joined", () => {
    fc.assert(
      fc.property(workers, fc.option(fc.string(), { nil: undefined }), fc.nat(64), (list, key, rankUnits) => {
        const request = { ...(key === undefined ? {} : { key }), rankUnits };
        expect(place(prepareFleet(list.toReversed()), request)).toEqual(place(prepareFleet(list), request));
      }),
    );
  });

  test("never an excluded worker; a draining one only when no other is left", () => {
    fc.assert(
      fc.property(workers, fc.option(fc.string(), { nil: undefined }), fc.array(fc.nat()), (list, key, picks) => {
        const excluded = new Set(picks.map((pick) => list[pick % list.length]!.name));
        const left = list.filter((w) => !excluded.has(w.name));
        const chosen = place(prepareFleet(list), { ...(key === undefined ? {} : { key }), excluded });
        if (left.length === 0) {
          expect(chosen).toBeUndefined();
          return;
        }
        const picked = left.find((w) => w.name === chosen!.worker);
        expect(picked).toBeDefined();
        const goes = ({ draining, leaving }: PlacementWorker) => draining === true || (key !== undefined && leaving === true);
        if (left.some((w) => w.draining !== true)) expect(picked!.draining ?? false).toBe(false);
        if (left.some((w) => !goes(w))) expect(goes(picked!)).toBe(false);
        expect(chosen!.reason === "draining").toBe(goes(picked!));
      }),
    );
  });

  test("is what the rules say, whatever the bounds, zones, replicas and exclusions", () => {
    const request = fc.record({
      key: fc.string(),
      rankUnits: fc.nat(64),
      replicas: fc.integer({ min: 1, max: 5 }),
      tried: fc.array(fc.nat(), { maxLength: 3 }),
      held: fc.array(fc.nat(), { maxLength: 3 }),
    });
    fc.assert(
      fc.property(workers, request, (list, { tried, held, ...request }) => {
        const pick = (picks: readonly number[]) => new Set(picks.map((at) => list[at % list.length]!.name));
        const asked = { ...request, excluded: pick(tried), resident: pick(held) };
        const policy = { epsilon: 0.5, floorTokens: 1000 };
        expect(place(prepareFleet(list), asked, policy)).toEqual(placeByTheBook(list, asked, policy));
      }),
      { numRuns: 2000 },
    );
  });

  test("a resident adapter needs no free slot", () => {
    const fleet = fleetOf(3, { freeRankUnits: 0 });
    const [first, second] = preferenceList(fleet, "a");
    expect(place(fleet, { key: "a", rankUnits: 8, resident: new Set([second!]) })).toEqual({
      worker: second,
      reason: "spilled",
    });
    expect(place(fleet, { key: "a", rankUnits: 8 })).toEqual({ worker: first, reason: "no-slot" });
  });

  test("a worker that will drain keeps what it has, and gets nothing else while another one lives", () => {
    const fleet = fleetOf(3);
    const [first, second] = preferenceList(fleet, "a");
    const leaving = (...names: readonly string[]) => prepareFleet(fleet.workers.map(({ name }) => ({ name, leaving: names.includes(name) })));
    expect(place(leaving(first!), { key: "a", resident: new Set([first!]) })).toEqual({ worker: first, reason: "preferred" });
    expect(place(leaving(first!), { key: "a", resident: new Set([second!]) })).toEqual({ worker: second, reason: "spilled" });
    const others = new Set(fleet.workers.map(({ name }) => name).filter((name) => name !== first));
    expect(place(leaving(first!), { key: "a", excluded: others })).toEqual({ worker: first, reason: "draining" });
  });

  test("a full worker is under the load bound even below the floor", () => {
    const policy = { epsilon: 0.25, floorTokens: 4096 };
    const [first, second] = preferenceList(fleetOf(3), "a");
    const busy = (name: string, full: boolean) => ({ name, full, inFlightTokens: name === first ? 900 : 100 });
    const fleet = (full: boolean) => prepareFleet(fleetOf(3).workers.map(({ name }) => busy(name, full && name === first)));
    expect(place(fleet(false), { key: "a" }, policy)).toEqual({ worker: first, reason: "preferred" });
    expect(place(fleet(true), { key: "a" }, policy)).toEqual({ worker: second, reason: "spilled" });
  });

  test("without a key the least loaded for its weight wins", () => {
    const fleet = prepareFleet([
      { name: "a", inFlightTokens: 100 },
      { name: "b", inFlightTokens: 150, weight: 2 },
      { name: "c", inFlightTokens: 0, draining: true },
    ]);
    expect(place(fleet, {})).toEqual({ worker: "b", reason: "least-loaded" });
  });

  test("without a key idle workers share the requests", () => {
    const fleet = fleetOf(4);
    const chosen = new Set(keys(100).map((tieBreaker) => place(fleet, { tieBreaker })!.worker));
    expect(chosen.size).toBe(4);
  });

  test("refuses fleets that have no single answer", () => {
    expect(() => prepareFleet([{ name: "a" }, { name: "a" }])).toThrow('worker name "a" occurs twice');
    expect(() => prepareFleet([{ name: "a", weight: 0 }])).toThrow("must be a number above 0");
  });
});
