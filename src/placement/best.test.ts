import fc from "fast-check";
import { expect, test } from "vitest";
import { hash64 } from "./hash.js";
import { type PlacementWorker, place, preferenceList, prepareFleet } from "./index.js";
import { score } from "./rendezvous.js";

// Fleets large enough that almost every worker is passed over without a score.
const sizes = fc.integer({ min: 30, max: 1000 });
const someWeights = fc.constantFrom([1], [0.5, 1, 2, 4], [1, 1 + 1e-10], [5e-324, 1e-323, 5e-323], [1e308, 1e307]);
type More = (index: number) => Partial<PlacementWorker>;
const fleetOf = (size: number, weights: readonly number[], more: More = () => ({})) =>
  prepareFleet(
    Array.from({ length: size }, (_, i) => ({ name: `worker-${i}`, weight: weights[i % weights.length]!, ...more(i) })),
  );

test("the worker placed by key is the first of the preference list that may have it", () => {
  fc.assert(
    fc.property(sizes, someWeights, fc.string(), fc.nat(20), (size, weights, key, gone) => {
      const fleet = fleetOf(size, weights);
      const list = preferenceList(fleet, key);
      expect(place(fleet, { key })).toEqual({ worker: list[0], reason: "preferred" });
      const excluded = new Set(list.slice(0, gone));
      const reason = gone === 0 ? "preferred" : "spilled";
      expect(place(fleet, { key, excluded })).toEqual({ worker: list[gone], reason });
    }),
  );
});

test("with every worker over a bound or draining, the first of the best class is chosen", () => {
  fc.assert(
    fc.property(sizes, someWeights, fc.string(), fc.integer({ min: 2, max: 30 }), (size, weights, key, awake) => {
      const fleet = fleetOf(size, weights, (i) => ({ draining: i % awake !== 0, freeRankUnits: 0 }));
      const drains = new Set(fleet.workers.filter((w) => w.draining === true).map((w) => w.name));
      const list = preferenceList(fleet, key);
      const worker = list.find((name) => !drains.has(name));
      expect(place(fleet, { key, rankUnits: 8 })).toEqual({ worker, reason: "no-slot" });
      const excluded = new Set(list.filter((name) => !drains.has(name)));
      const drained = list.find((name) => drains.has(name));
      expect(place(fleet, { key, excluded })).toEqual({ worker: drained, reason: "draining" });
    }),
  );
});

test("without a key the highest score of the least loaded wins", () => {
  fc.assert(
    fc.property(sizes, fc.array(fc.nat(3), { minLength: 1 }), fc.string(), (size, loads, tieBreaker) => {
      const fleet = fleetOf(size, [1], (i) => ({ inFlightTokens: loads[i % loads.length]! }));
      const least = Math.min(...fleet.workers.map((w) => w.inFlightTokens!));
      const idle = [...fleet.workers.keys()].filter((index) => fleet.workers[index]!.inFlightTokens === least);
      const of = (index: number) => score(fleet, index, hash64(tieBreaker));
      const best = idle.reduce((a, b) => (of(b) > of(a) ? b : a));
      expect(place(fleet, { tieBreaker })!.worker).toBe(fleet.workers[best]!.name);
    }),
  );
});
