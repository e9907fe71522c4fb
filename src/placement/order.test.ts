import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { orderByTheBook } from "../../test/support/placement-oracle.js";
import { hash64 } from "./hash.js";
import { type PlacementWorker, preferenceList, prepareFleet } from "./index.js";
import { firstInOrder, positionInOrder } from "./order.js";

const worker = fc.record({
  name: fc.string({ minLength: 1, maxLength: 12 }),
  weight: fc.constantFrom(0.5, 1, 2),
  zone: fc.constantFrom("", "a", "b", "c"),
  draining: fc.boolean(),
});
const workers = fc.uniqueArray(worker, { minLength: 1, maxLength: 16, selector: ({ name }) => name });
const namesOf = (list: readonly PlacementWorker[]) => list.map(({ name }) => name);

describe("the order of preference", () => {
  test("takes turns between zones, and has those that drain at its end", () => {
    fc.assert(
      fc.property(workers, fc.string(), fc.nat(16), (list, key, limit) => {
        const fleet = prepareFleet(list);
        const order = namesOf(orderByTheBook(list, key));
        const all = preferenceList(fleet, key);
        expect(all.slice(0, order.length)).toEqual(order);
        expect(new Set(all)).toEqual(new Set(namesOf(list)));
        expect(preferenceList(fleet, key, limit)).toEqual(all.slice(0, limit));
        for (const [position, name] of order.entries()) {
          const index = fleet.workers.findIndex((worker) => worker.name === name);
          expect(positionInOrder(fleet, hash64(key), index)).toBe(position);
        }
      }),
    );
  });

  test("begins with as many zones as there are, the best worker of all first", () => {
    fc.assert(
      fc.property(workers, fc.string(), (drawn, key) => {
        const list = drawn.map((worker) => ({ ...worker, draining: false }));
        const order = orderByTheBook(list, key);
        const count = new Set(list.map(({ zone }) => zone)).size;
        expect(new Set(order.slice(0, count).map(({ zone }) => zone)).size).toBe(count);
        const [best] = preferenceList(prepareFleet(list.map((worker) => ({ ...worker, zone: "" }))), key, 1);
        expect(order[0]!.name).toBe(best);
      }),
    );
  });

  test("the first that passes is found without a list", () => {
    fc.assert(
      fc.property(workers, fc.string(), fc.array(fc.boolean(), { minLength: 1 }), (list, key, pattern) => {
        const fleet = prepareFleet(list);
        const passing = new Set(fleet.workers.filter((_, index) => pattern[index % pattern.length]));
        const passes = (index: number) => passing.has(fleet.workers[index]!) && fleet.workers[index]!.draining !== true;
        const found = fleet.workers[firstInOrder(fleet, hash64(key), passes)];
        expect(found).toBe(orderByTheBook(list, key).find((worker) => passing.has(worker)));
      }),
    );
  });

  test("a key whose first worker has left goes to one that was first of its zone, or next in it", () => {
    fc.assert(
      fc.property(workers, fc.string(), (list, key) => {
        const before = orderByTheBook(list, key);
        const after = orderByTheBook(list.filter((worker) => worker !== before[0]), key);
        if (after.length === 0) return;
        const heirs = before.slice(1).filter((worker, at, rest) => rest.findIndex(({ zone }) => zone === worker.zone) === at);
        expect(heirs).toContain(after[0]);
      }),
    );
  });

  test("within one zone it stays as it is when a worker leaves", () => {
    fc.assert(
      fc.property(workers, fc.string(), fc.nat(), (drawn, key, pick) => {
        const list = drawn.map((worker) => ({ ...worker, zone: "", draining: false }));
        const gone = list[pick % list.length]!;
        const rest = preferenceList(prepareFleet(list.filter((worker) => worker !== gone)), key);
        expect(rest).toEqual(preferenceList(prepareFleet(list), key).filter((name) => name !== gone.name));
      }),
    );
  });
});
