import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EventQueue } from "./event-queue.js";
import { keyOf, SimulatedFleet } from "./fleet-model.js";
import { movementOf } from "./movement.js";
import { npmRing, npmRings } from "./npm-rings.js";
import { boundedRing, leastLoaded, polygraft, random } from "./policies.js";
import { seeded, Zipf } from "./random.js";
import { simulate } from "./simulate.js";
import { requestsOf, traceNames } from "./traces.js";
import { rankOf, workerCapacity, workerModel } from "./worker-model.js";
import type { Job } from "./worker-model.js";

const signal = new AbortController().signal;

test("events come in the order of their times", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.nat(50), fc.constant("pop" as const))), (steps) => {
      const queue = new EventQueue<number>();
      const waiting: number[] = [];
      for (const step of steps) {
        if (step !== "pop") {
          queue.push(step, step);
          waiting.push(step);
          continue;
        }
        waiting.sort((a, b) => a - b);
        expect(queue.nextAt).toBe(waiting[0] ?? Number.POSITIVE_INFINITY);
        expect(queue.pop()).toBe(waiting.shift());
      }
    }),
  );
});

test("Zipf's law: rank r is drawn 1 / (r + 1) times as often as the first", () => {
  const zipf = new Zipf(1000, 1);
  const draw = seeded(1);
  const counts = new Uint32Array(1000);
  for (let i = 0; i < 200_000; i++) counts[zipf.draw(draw)]! += 1;
  for (const rank of [1, 3, 9]) expect((counts[rank]! * (rank + 1)) / counts[0]!).toBeCloseTo(1, 1);
});

describe("traces", () => {
  const setup = { adapters: 1000, requests: 20_000, capacity: 100, seed: 3 };

  test.each(traceNames)("%s is the same each time, in order, of known adapters", (name) => {
    const short = { ...setup, requests: 2000 };
    const requests = [...requestsOf(name, short)];
    expect(requests).toHaveLength(2000);
    expect([...requestsOf(name, short)]).toEqual(requests);
    expect([...requestsOf(name, { ...short, seed: 4 })]).not.toEqual(requests);
    let last = 0;
    for (const { at, adapter, promptTokens, outputTokens } of requests) {
      expect(at).toBeGreaterThanOrEqual(last);
      last = at;
      expect(adapter >= 0 && adapter < 1000 && Number.isInteger(adapter)).toBe(true);
      expect(promptTokens).toBeGreaterThan(0);
      expect(outputTokens).toBeGreaterThan(0);
    }
  });

  test("zipf keeps 70 % of the fleet busy", () => {
    const last = [...requestsOf("zipf", setup)].at(-1)!;
    expect(20_000 / (last.at * 100)).toBeCloseTo(0.7, 1);
  });

  test("flash: in its third quarter one adapter in four, that was cold before, is the crowd's", () => {
    const requests = [...requestsOf("flash", setup)];
    const end = requests.at(-1)!.at;
    const crowd = requests.filter(({ at }) => at > end * 0.55 && at < end * 0.7);
    const counts = new Map<number, number>();
    for (const { adapter } of crowd) counts.set(adapter, (counts.get(adapter) ?? 0) + 1);
    const [adapter, most] = [...counts].sort((a, b) => b[1] - a[1])[0]!;
    expect(most / crowd.length).toBeCloseTo(0.25, 1);
    const before = requests.filter(({ at }) => at < end * 0.45);
    expect(before.filter((request) => request.adapter === adapter).length / before.length).toBeLessThan(0.01);
  });
});

test("a worker never runs more sequences, nor holds more rank units, than it has room for, and ends all it began", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(300), { minLength: 1, maxLength: 300 }), (adapters) => {
      const fleet = new SimulatedFleet(1);
      const worker = fleet.workers[0]!;
      const ends = new EventQueue<Job>();
      const held = () => adapters.filter((adapter, at) => adapters.indexOf(adapter) === at && fleet.holders(adapter).size > 0);
      let running = 0;
      let done = 0;
      const begin = (now: number) => {
        for (let next = worker.startNext(now); next !== undefined; next = worker.startNext(now)) {
          ends.push(next.endsAt, next.job);
          running += 1;
        }
        expect(running).toBeLessThanOrEqual(workerModel.maxSequences);
        expect(held().reduce((sum, adapter) => sum + rankOf(adapter), 0)).toBeLessThanOrEqual(workerModel.rankUnits);
      };
      for (const [number, adapter] of adapters.entries()) {
        fleet.arrive({ at: 0, adapter, promptTokens: 10, outputTokens: 10, number, worker, readyAt: 0, missed: false });
      }
      begin(0);
      for (let at = ends.nextAt; at < Number.POSITIVE_INFINITY; at = ends.nextAt) {
        fleet.leave(ends.pop()!);
        running -= 1;
        done += 1;
        begin(at);
      }
      expect([done, fleet.totalTokens, worker.inFlightTokens]).toEqual([adapters.length, 0, 0]);
      expect(worker.freeRankUnits).toBe(workerModel.rankUnits);
    }),
    { numRuns: 20 },
  );
});

describe("simulate", () => {
  const setup = { trace: "zipf", workers: 8, adapters: 5000, requests: 8000, seed: 1 } as const;
  const computed = async (policy: Parameters<typeof simulate>[0]) => {
    const { decisionP50Micros: _1, decisionP99Micros: _2, decisionsPerSecond: _3, ...rest } = await simulate(policy, setup, signal);
    return rest;
  };

  test("computes the same each time", async () => {
    for (const policy of [polygraft({}), random]) expect(await computed(policy)).toEqual(await computed(policy));
  });

  test("shows what each way is known for", async () => {
    const own = await computed(polygraft({ epsilon: 0.25 }));
    const bounded = await computed(boundedRing(0.25));
    const least = await computed(leastLoaded);
    const anywhere = await computed(random);
    const ring = await computed((await npmRing("hashring"))!);
    // A ring without bounds never moves a key and never copies one, and pays with imbalance.
    expect([ring.moves, ring.mostCopies]).toEqual([0, 1]);
    for (const balanced of [own, bounded, least]) expect(balanced.imbalance).toBeLessThan(ring.imbalance / 1.5);
    // Ways without affinity find the adapter on the device less often, and spread each popular one over all workers.
    expect(own.misses).toBeLessThan(least.misses * 0.9);
    expect(own.misses).toBeLessThan(anywhere.misses * 0.9);
    expect([least.mostCopies, anywhere.mostCopies]).toEqual([8, 8]);
    expect(own.mostCopies).toBeLessThan(8);
    expect(own.moves).toBeLessThan(least.moves);
  });

  test("stops when it is told to", async () => {
    const stop = new AbortController();
    stop.abort(new Error("enough"));
    await expect(simulate(random, { ...setup, requests: 10_000_000 }, stop.signal)).rejects.toThrow("enough");
  });
});

test("a join and a leave move about the part that they must; ways without owners move nothing that could be counted", async () => {
  const rings = await Promise.all(npmRings.map((name) => npmRing(name)));
  for (const policy of [polygraft({}), boundedRing(0.25), ...rings]) {
    const moved = movementOf(policy!, 16, 4000)!;
    expect(moved.join).toBeGreaterThan(0.5 / 17);
    expect(moved.join).toBeLessThan(2 / 17);
    expect(moved.leave).toBeLessThan(2 / 16);
  }
  expect(movementOf(random, 16, 4000)).toBeUndefined();
  expect(keyOf(1)).not.toBe(keyOf(2));
  expect(workerCapacity).toBeGreaterThan(0);
});
