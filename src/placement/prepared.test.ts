import fc from "fast-check";
import { expect, test } from "vitest";
import { hash64 } from "./hash.js";
import { type LiveFleet, type LiveWorker, ModelFleets, place, preferenceList } from "./index.js";
import { namedAmong } from "./live-fleet.js";

const worker = fc.record(
  {
    name: fc.constantFrom(..."abcdefghijkl"),
    weight: fc.constantFrom(0.1, 0.3, 1, 2),
    zone: fc.constantFrom("", "x", "y", "z"),
    draining: fc.boolean(),
    adapterRoom: fc.record({ bytes: fc.constantFrom(100, 700), rankUnits: fc.constantFrom(0, 3, 8) }),
    inFlightTokens: fc.constantFrom(0, 100, 5000, 9000),
  },
  { requiredKeys: ["name", "adapterRoom"] },
);
const operation = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("set" as const), model: fc.constantFrom("m", "n"), worker }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("remove" as const), model: fc.constantFrom("m", "n"), worker }) },
  { weight: 2, arbitrary: fc.constant({ kind: "look" as const }) },
);

/** What a fleet must be, said without regard to cost. */
function expectPrepared(fleet: LiveFleet, list: readonly LiveWorker[]): void {
  const sorted = list.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const awake = sorted.filter(({ draining }) => draining !== true);
  const sum = (of: (worker: LiveWorker) => number) => awake.reduce((total, worker) => total + of(worker), 0);
  expect(fleet.workers).toEqual(sorted);
  expect([...fleet.hashHi]).toEqual(sorted.map(({ name }) => hash64(name).hi));
  expect([...fleet.hashLo]).toEqual(sorted.map(({ name }) => hash64(name).lo));
  expect([...fleet.weights]).toEqual(sorted.map(({ weight = 1 }) => weight));
  expect(fleet.totalTokens).toBe(sum(({ inFlightTokens = 0 }) => inFlightTokens));
  // To the last bit: what routers compare loads with must not depend on what they have seen.
  expect(fleet.totalWeight).toBe(sum(({ weight = 1 }) => weight));
  const units = sorted.filter(({ adapterRoom }) => adapterRoom.rankUnits > 0).map(({ adapterRoom }) => adapterRoom.bytes / adapterRoom.rankUnits);
  expect(fleet.unitBytes).toBe(units.length === 0 ? 0 : Math.min(...units));
  const zones = new Set(sorted.map(({ zone = "" }) => zone));
  expect(fleet.zoneCount).toBe(zones.size);
  expect([...fleet.zoneNumbers.values()].sort()).toEqual([...zones].map((_, number) => number));
  expect([...fleet.zones]).toEqual(sorted.map(({ zone = "" }) => fleet.zoneNumbers.get(zone)));
}

test("a fleet that has changed step by step is what preparing it at once would give, and old ones stay as they were", () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 80 }), (operations) => {
      const fleets = new ModelFleets<LiveWorker>();
      const models = new Map([["m", new Map<string, LiveWorker>()], ["n", new Map<string, LiveWorker>()]]);
      const handedOut: { readonly fleet: LiveFleet; readonly list: readonly LiveWorker[] }[] = [];
      for (const one of [...operations, { kind: "look" as const }]) {
        if (one.kind === "set") {
          fleets.set(one.model, one.worker);
          models.get(one.model)!.set(one.worker.name, one.worker);
        } else if (one.kind === "remove") {
          fleets.remove(one.model, one.worker.name);
          models.get(one.model)!.delete(one.worker.name);
        } else {
          const { current } = fleets;
          expect(fleets.current).toBe(current);
          for (const [model, workers] of models) {
            const fleet = current.get(model);
            expect(fleet === undefined).toBe(workers.size === 0);
            if (fleet !== undefined) handedOut.push({ fleet, list: [...workers.values()] });
          }
        }
      }
      for (const { fleet, list } of handedOut) {
        expectPrepared(fleet, list);
        const anew = new ModelFleets<LiveWorker>();
        for (const worker of list) anew.set("", worker);
        for (const key of ["one", "two", "three"]) {
          expect(preferenceList(fleet, key)).toEqual(preferenceList(anew.current.get("")!, key));
          expect(place(fleet, { key, replicas: 2 })).toEqual(place(anew.current.get("")!, { key, replicas: 2 }));
        }
      }
    }),
  );
});

test("those of a fleet that are named are what preparing them alone would give", () => {
  const workers = fc.uniqueArray(worker, { minLength: 1, selector: ({ name }) => name });
  fc.assert(
    fc.property(workers, fc.uniqueArray(fc.constantFrom(..."abcdefghijklmn"), { maxLength: 14 }), (list, names) => {
      const fleets = new ModelFleets<LiveWorker>();
      for (const worker of list) fleets.set("m", worker);
      const all = fleets.current.get("m")!;
      const some = namedAmong(all, new Set(names));
      const expected = list.filter(({ name }) => names.includes(name));
      if (some === undefined) expect(expected).toEqual([]);
      else expectPrepared(some, expected);
      expect(some === all).toBe(expected.length === list.length);
    }),
  );
});
