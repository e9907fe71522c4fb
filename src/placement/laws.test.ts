import fc from "fast-check";
import { expect, test } from "vitest";
import { orderByTheBook } from "../../test/support/placement-oracle.js";
import { type PlacementPolicy, type PlacementWorker, place, prepareFleet, replicas } from "./index.js";

/** One thing that happens: a request arrives for an adapter, or the oldest of the running ones ends. */
const event = fc.oneof(
  { weight: 3, arbitrary: fc.record({ adapter: fc.nat(9), tokens: fc.integer({ min: 1, max: 400 }) }) },
  { weight: 1, arbitrary: fc.constant(undefined) },
);
const events = fc.array(event, { minLength: 50, maxLength: 400 });
const weights = fc.array(fc.constantFrom(0.5, 1, 2), { minLength: 2, maxLength: 9 });
const zoneCount = fc.integer({ min: 1, max: 3 });

interface SimulatedWorker extends PlacementWorker {
  readonly name: string;
  readonly weight: number;
  inFlightTokens: number;
  freeRankUnits: number;
}

/** A fleet whose loads follow the decisions, with one slot of 8 rank units for each of `slots`. */
class SimulatedFleet {
  readonly workers: readonly SimulatedWorker[];
  readonly running: { readonly adapter: number; readonly tokens: number; readonly worker: SimulatedWorker }[] = [];
  readonly holders = new Map<number, Set<string>>();
  readonly #policy: PlacementPolicy;
  readonly #slots: number;

  constructor(weights: readonly number[], zones: number, policy: PlacementPolicy, slots = Number.POSITIVE_INFINITY) {
    this.#policy = policy;
    this.#slots = slots;
    this.workers = weights.map((weight, i) => ({
      name: `w${i}`,
      weight,
      zone: `z${i % zones}`,
      inFlightTokens: 0,
      freeRankUnits: slots * 8,
    }));
  }

  get total(): number {
    return this.workers.reduce((sum, { inFlightTokens }) => sum + inFlightTokens, 0);
  }

  tokensOf(adapter: number): number {
    return this.running.filter((request) => request.adapter === adapter).reduce((sum, { tokens }) => sum + tokens, 0);
  }

  /** Adapters that running requests keep on a worker. */
  used(worker: SimulatedWorker): Set<number> {
    return new Set(this.running.filter((request) => request.worker === worker).map(({ adapter }) => adapter));
  }

  k(adapter: number): number {
    const load = { tokens: this.tokensOf(adapter), held: this.holders.get(adapter)?.size ?? 0 };
    return replicas(prepareFleet(this.workers), load, this.#policy);
  }

  decide(adapter: number) {
    const resident = new Set(this.workers.filter((worker) => this.used(worker).has(adapter)).map(({ name }) => name));
    const request = { key: `adapter-${adapter}`, replicas: this.k(adapter), rankUnits: 8, resident };
    return place(prepareFleet(this.workers), request, this.#policy)!;
  }

  start(adapter: number, tokens: number, name: string): void {
    const worker = this.workers.find((worker) => worker.name === name)!;
    worker.inFlightTokens += tokens;
    this.running.push({ adapter, tokens, worker });
    this.holders.set(adapter, (this.holders.get(adapter) ?? new Set()).add(name));
    this.#recount(worker);
  }

  finish(): void {
    const ended = this.running.shift();
    if (ended === undefined) return;
    ended.worker.inFlightTokens -= ended.tokens;
    this.#recount(ended.worker);
  }

  #recount(worker: SimulatedWorker): void {
    worker.freeRankUnits = (this.#slots - this.used(worker).size) * 8;
  }
}

test("balance: nobody is given work above (1 + epsilon) of its share, and above the floor", () => {
  const policy = { epsilon: 0.25, floorTokens: 300 };
  fc.assert(
    fc.property(weights, zoneCount, events, (weights, zones, events) => {
      const fleet = new SimulatedFleet(weights, zones, policy);
      const weightOfAll = weights.reduce((sum, weight) => sum + weight, 0);
      for (const event of events) {
        if (event === undefined) {
          fleet.finish();
          continue;
        }
        const { worker: name, reason } = fleet.decide(event.adapter);
        const { inFlightTokens, weight } = fleet.workers.find((worker) => worker.name === name)!;
        const share = (fleet.total / weightOfAll) * weight;
        expect(inFlightTokens).toBeLessThan(Math.max(300, 1.25 * share));
        // Somebody is always at or below the mean, so the bound can always be kept.
        expect(["preferred", "spilled"]).toContain(reason);
        fleet.start(event.adapter, event.tokens, name);
      }
    }),
  );
});

test("copies: an adapter by itself is never held by more workers than its load fills", () => {
  const policy = { epsilon: 0.25, floorTokens: 1000 };
  fc.assert(
    fc.property(weights, zoneCount, events, (weights, zones, events) => {
      const fleet = new SimulatedFleet(weights, zones, policy);
      let most = 0;
      for (const event of events) {
        if (event === undefined) {
          fleet.finish();
          continue;
        }
        fleet.start(0, event.tokens, fleet.decide(0).worker);
        most = Math.max(most, fleet.total);
        expect(fleet.holders.get(0)!.size).toBeLessThanOrEqual(1 + Math.floor(most / 1000));
      }
    }),
  );
});

test("copies: an adapter goes beyond its k workers only when all of them are over their bound, and then to one more", () => {
  const policy = { epsilon: 0.25, floorTokens: 300 };
  fc.assert(
    fc.property(weights, zoneCount, events, (weights, zones, events) => {
      const fleet = new SimulatedFleet(weights, zones, policy);
      const mostK = new Map<number, number>();
      for (const event of events) {
        if (event === undefined) {
          fleet.finish();
          continue;
        }
        const { adapter, tokens } = event;
        const { worker: name } = fleet.decide(adapter);
        const prepared = prepareFleet(fleet.workers);
        // The first k of the order with k as small as possible and somebody below the bound: that is its k.
        let k = fleet.k(adapter);
        const share = fleet.total / prepared.totalWeight;
        const order = orderByTheBook(fleet.workers, `adapter-${adapter}`) as SimulatedWorker[];
        const open = (worker: SimulatedWorker) =>
          worker.inFlightTokens < 300 || worker.inFlightTokens < 1.25 * share * worker.weight;
        while (!order.slice(0, k).some(open)) k++;
        expect(order.slice(0, k).map((worker) => worker.name)).toContain(name);
        mostK.set(adapter, Math.max(mostK.get(adapter) ?? 0, k));
        fleet.start(adapter, tokens, name);
        expect(fleet.holders.get(adapter)!.size).toBeLessThanOrEqual(mostK.get(adapter)!);
      }
    }),
  );
});

test("slots: a worker is never given an adapter for which it has no slot while another one has", () => {
  const slots = fc.integer({ min: 1, max: 4 });
  fc.assert(
    fc.property(weights, zoneCount, slots, events, (weights, zones, slots, events) => {
      const fleet = new SimulatedFleet(weights, zones, { floorTokens: 300 }, slots);
      for (const event of events) {
        const decision = event === undefined ? undefined : fleet.decide(event.adapter);
        if (event === undefined || decision!.reason === "no-slot") {
          if (event !== undefined) {
            const hasSlot = (worker: SimulatedWorker) =>
              worker.freeRankUnits >= 8 || fleet.used(worker).has(event.adapter);
            expect(fleet.workers.some(hasSlot)).toBe(false);
          }
          // It waits: nothing starts before something ends.
          fleet.finish();
          continue;
        }
        fleet.start(event.adapter, event.tokens, decision!.worker);
        for (const worker of fleet.workers) expect(fleet.used(worker).size).toBeLessThanOrEqual(slots);
      }
    }),
  );
});

test("agreement: two routers of the same view decide the same, whatever came before and in which order", () => {
  const policy = { floorTokens: 300 };
  fc.assert(
    fc.property(weights, zoneCount, events, (weights, zones, events) => {
      const fleet = new SimulatedFleet(weights, zones, policy);
      for (const event of events) {
        if (event === undefined) {
          fleet.finish();
          continue;
        }
        const { adapter, tokens } = event;
        // The other router has started just now, and its workers have joined in another order.
        const view = fleet.workers.toReversed().map((worker) => ({ ...worker }));
        const load = { tokens: fleet.tokensOf(adapter), held: fleet.holders.get(adapter)?.size ?? 0 };
        const k = replicas(prepareFleet(view), load, policy);
        const resident = new Set(fleet.workers.filter((w) => fleet.used(w).has(adapter)).map(({ name }) => name));
        const request = { key: `adapter-${adapter}`, replicas: k, rankUnits: 8, resident };
        const decision = fleet.decide(adapter);
        expect(place(prepareFleet(view), request, policy)).toEqual(decision);
        fleet.start(adapter, tokens, decision.worker);
      }
    }),
  );
});
