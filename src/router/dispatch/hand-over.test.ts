import { ResidencyUpdate, Tier, WorkerHello, WorkerState } from "@polygraft/api";
import type { JoinResponse } from "@polygraft/api";
import { place } from "@polygraft/placement";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { announcedAdapter } from "../../../test/support/scripted-worker.js";
import { Catalog } from "../catalog/catalog.js";
import { isFailure } from "../failure.js";
import { Fleet } from "../fleet/fleet.js";
import type { FleetMember } from "../fleet/member.js";
import { Candidates } from "./candidates.js";
import { HandOver } from "./hand-over.js";

const ids = Array.from({ length: 40 }, (_, index) => `adapter-${index}`);

/** A router's view of its fleet, and what it tells workers. All workers know all adapters. */
function router() {
  const fleet = new Fleet();
  const catalog = new Catalog();
  const candidates = new Candidates(fleet, catalog);
  fleet.listen(catalog);
  fleet.listen(new HandOver(fleet, candidates));
  const told = new Map<string, JoinResponse["message"][]>();

  function join(name: string, { onDevice = [], warming = false, rankUnits = 0 }: Joining = {}): FleetMember {
    const capacity = { adapterRankUnits: rankUnits, adapterBytes: BigInt(rankUnits) };
    const hello = WorkerHello.fromPartial({ name, epoch: name, address: "h:1", warming, model: { name: "tiny" }, capacity });
    const member = fleet.join(hello, () => {}, 0);
    told.set(name, []);
    member.tell = ({ message }) => void told.get(name)!.push(message);
    hold(member, ids, onDevice, true);
    return member;
  }

  function hold(member: FleetMember, known: readonly string[], onDevice: readonly string[], snapshot = false): void {
    const adapters = known.map((id) => ({ ...announcedAdapter(id, { tier: onDevice.includes(id) ? Tier.DEVICE : Tier.SOURCE }), bytes: 0n }));
    fleet.hold(member, ResidencyUpdate.fromPartial({ snapshot, complete: true, adapters }), 0);
  }

  return {
    fleet,
    join,
    load: (member: FleetMember, id: string) => hold(member, [id], [id]),
    owner(id: string): string {
      const found = candidates.find("", { id, revision: "", digest: "" });
      if (isFailure(found)) throw new Error(found.message);
      return place(found.fleet, { ...found, key: id })!.worker;
    },
    said: (name: string) => told.get(name)!,
    warmUpOf(name: string): string[] {
      const asked = told.get(name)!.flatMap((message) => (message?.$case === "warmUp" ? [message.value.adapters] : []));
      expect(asked).toHaveLength(1);
      return asked[0]!.map(({ id }) => id);
    },
    prefetched: (name: string) => told.get(name)!.flatMap((message) => (message?.$case === "prefetch" ? [message.value.adapter!.id] : [])),
  };
}

interface Joining {
  readonly onDevice?: readonly string[];
  readonly warming?: boolean;
  readonly rankUnits?: number;
}

const held = fc.array(fc.subarray(ids), { minLength: 1, maxLength: 6 });

describe("a worker that joins", () => {
  test("is asked for what will be its own, and gets requests when it has that", () => {
    fc.assert(
      fc.property(held, (onDevice) => {
        const { fleet, join, owner, warmUpOf } = router();
        for (const [index, ids] of onDevice.entries()) join(`w${index}`, { onDevice: ids });
        const newcomer = join("newcomer", { warming: true });
        const loaded = new Set(onDevice.flat());
        expect(ids.map(owner)).not.toContain("newcomer");
        fleet.warmed(newcomer, 0);
        const own = [...loaded].filter((id) => owner(id) === "newcomer");
        expect(new Set(warmUpOf("newcomer"))).toEqual(new Set(own));
      }),
    );
  });

  test("is asked for no more than it has room for", () => {
    const { join, warmUpOf } = router();
    join("w0", { onDevice: ids });
    join("newcomer", { warming: true, rankUnits: 20 }); // of rank 8 each
    expect(warmUpOf("newcomer")).toHaveLength(2);
  });

  test("into an empty fleet, or one that knows no warming, has nothing to wait for", () => {
    const { join, warmUpOf, said } = router();
    expect(join("w0", { warming: true }).state).toBe(WorkerState.WARMING);
    expect(warmUpOf("w0")).toEqual([]);
    join("old");
    expect(said("old")).toEqual([]);
  });

  test("is no less warming for a silence", () => {
    const { fleet, join } = router();
    const newcomer = join("newcomer", { warming: true });
    fleet.sweep(500, { suspectAfterMillis: 300, goneAfterMillis: 1e9, wedgedAfterMillis: 1e9 });
    expect(newcomer.state).toBe(WorkerState.SUSPECTED);
    fleet.handOver(newcomer, 600);
    expect(newcomer.state).toBe(WorkerState.WARMING);
    fleet.warmed(newcomer, 700);
    expect(newcomer.state).toBe(WorkerState.READY);
  });
});

describe("a worker that leaves", () => {
  test("gets requests until the next owners have its adapters", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), fc.subarray(ids), (others, onDevice) => {
        const { fleet, join, load, owner, prefetched, said } = router();
        const members = Array.from({ length: others }, (_, index) => join(`w${index}`));
        const leaver = join("leaver", { onDevice });
        const before = ids.map(owner);
        const handedOver = () => said("leaver").some((message) => message?.$case === "handedOver");
        fleet.handOver(leaver, 0);
        expect(ids.map(owner)).toEqual(before);
        const asked = members.flatMap((member) => prefetched(member.name).map((id) => ({ member, id })));
        expect(asked.map(({ id }) => id).sort()).toEqual([...onDevice].sort());
        for (const { member, id } of asked) {
          expect(handedOver()).toBe(false);
          load(member, id);
        }
        expect(handedOver()).toBe(true);
        fleet.drain(leaver, 0);
        for (const { member, id } of asked) expect(owner(id)).toBe(member.name);
      }),
    );
  });

  test("does not wait for one that goes, or leaves as well", () => {
    const { fleet, join, prefetched, said } = router();
    const [a, b, c] = [join("a"), join("b"), join("c", { onDevice: ids })];
    fleet.handOver(c, 0);
    expect(prefetched("a").length + prefetched("b").length).toBe(ids.length);
    fleet.leave(a);
    expect(said("c")).toEqual([]);
    fleet.handOver(b, 0);
    expect(said("c")).toMatchObject([{ $case: "handedOver" }]);
    expect(said("b")).toMatchObject([...prefetched("b").map(() => ({ $case: "prefetch" })), { $case: "handedOver" }]);
  });

  test("without waiting still has its adapters loaded", () => {
    const { fleet, join, prefetched } = router();
    join("a");
    fleet.drain(join("old", { onDevice: ["adapter-1"] }), 0);
    expect(prefetched("a")).toEqual(["adapter-1"]);
  });
});
