import { LoadSample, ResidencyUpdate, Tier, WorkerHello } from "@polygraft/api";
import type { AdapterRef } from "@polygraft/api";
import { place } from "@polygraft/placement";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { announcedAdapter } from "../../../test/support/scripted-worker.js";
import { Catalog } from "../catalog/catalog.js";
import { isFailure } from "../failure.js";
import { Fleet } from "../fleet/fleet.js";
import type { FleetMember } from "../fleet/member.js";
import { Candidates } from "./candidates.js";

const ref = (id: string): AdapterRef => ({ id, revision: "", digest: "" });
const policy = { epsilon: 0.25, floorTokens: 1000, hysteresis: 0.5 };

/** What a worker has said last. */
interface Said {
  readonly requests: number;
  readonly tokens: number;
  /** Requests by adapter; adapters that occur are on the device. */
  readonly adapters: Readonly<Record<string, number>>;
  /** Adapters that are not on the device. */
  readonly onDisk?: readonly string[];
}

/** A router, as far as it decides. */
function router(names: readonly string[]) {
  const fleet = new Fleet();
  const catalog = new Catalog();
  fleet.listen(catalog);
  const candidates = new Candidates(fleet, catalog, policy);
  const members = new Map<string, FleetMember>();
  for (const name of names) {
    const hello = WorkerHello.fromPartial({ name, address: "h:1", model: { name: "tiny" } });
    members.set(name, fleet.join(hello, () => {}, 0));
  }
  return {
    candidates,
    hear(name: string, { requests, tokens, adapters, onDisk = [] }: Said) {
      const held = Object.entries(adapters).map(([id, references]) => {
        const adapter = announcedAdapter(id, { tier: Tier.DEVICE });
        return { ...adapter, residency: adapter.residency.map((residency) => ({ ...residency, references })) };
      });
      const snapshot = { snapshot: true, complete: true, adapters: [...held, ...onDisk.map((id) => announcedAdapter(id))] };
      fleet.hold(members.get(name)!, ResidencyUpdate.fromPartial(snapshot), 0);
      const sample = { runningRequests: requests, waitingRequests: 0, inFlightTokens: tokens };
      fleet.load(members.get(name)!, LoadSample.fromPartial(sample), 0);
    },
    decide(id: string) {
      const found = candidates.find("", ref(id));
      if (isFailure(found)) throw new Error(found.message);
      return { k: found.replicas, placement: place(found.fleet, { ...found, key: id }, policy) };
    },
  };
}

describe("replicas of an adapter", () => {
  const names = ["a", "b", "c", "d"];
  const heard = (said: Readonly<Record<string, Said>>) => {
    const one = router(names);
    for (const name of names) one.hear(name, said[name] ?? { requests: 0, tokens: 0, adapters: {}, onDisk: ["hot", "cold"] });
    return one;
  };

  test("follow its share of the load, as the workers tell it", () => {
    const one = heard({ a: { requests: 10, tokens: 10_000, adapters: { hot: 9, cold: 1 } } });
    // 9,000 tokens, where a worker's bound is 1.25 * 10,000 / 4.
    expect(one.decide("hot").k).toBe(3);
    expect(one.decide("cold").k).toBe(1);
  });

  test("stay as many as hold it, until its load has fallen far enough", () => {
    const holding = { requests: 0, tokens: 0, adapters: { hot: 0 } };
    const one = heard({ a: { requests: 10, tokens: 10_000, adapters: { hot: 9, cold: 1 } }, b: holding, c: holding, d: holding });
    expect(one.decide("hot").k).toBe(4);
    one.hear("a", { requests: 10, tokens: 10_000, adapters: { hot: 4, cold: 6 } });
    expect(one.decide("hot").k).toBe(3);
    one.hear("a", { requests: 10, tokens: 10_000, adapters: { hot: 1, cold: 9 } });
    expect(one.decide("hot").k).toBe(1);
  });

  test("are one where workers do not say how many requests they have", () => {
    const one = router(["a"]);
    one.hear("a", { requests: 0, tokens: 50_000, adapters: { hot: 9 } });
    expect(one.decide("hot").k).toBe(1);
  });
});

const said = fc.record({
  requests: fc.nat(20),
  tokens: fc.nat(20_000),
  adapters: fc.dictionary(fc.constantFrom("x", "y", "z"), fc.nat(10)),
});

test("two routers that have heard the same decide the same, whatever they have heard before and in which order", () => {
  const names = ["w1", "w2", "w3", "w4", "w5"];
  const everybody = fc.tuple(said, said, said, said, said);
  fc.assert(
    fc.property(everybody, everybody, fc.constantFrom("x", "y", "z"), (before, now, id) => {
      const old = router(names);
      const young = router(names.toReversed());
      for (const [index, name] of names.entries()) old.hear(name, before[index]!);
      for (const [index, name] of names.entries()) old.hear(name, now[index]!);
      for (const [index, name] of [...names.entries()].reverse()) young.hear(name, now[index]!);
      expect(young.decide(id)).toEqual(old.decide(id));
    }),
  );
});
