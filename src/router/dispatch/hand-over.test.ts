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
        const before = onDevice.map(owner);
        const handedOver = () => said("leaver").some((message) => message?.$case === "handedOver");
        fleet.handOver(leaver, 0);
        expect(onDevice.map(owner)).toEqual(before);
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

/** Any order of what may happen to a fleet at the same time; `pick` says to which of those to which it can happen. */
const event = fc.record({
  kind: fc.constantFrom("start", "leave", "load", "load", "load", "warmed", "go", "gone"),
  pick: fc.nat(1000),
});

/** Workers that do what their router tells them, each thing when a test says so. All adapters begin where their requests go. */
class ObedientFleet {
  readonly #router = router();
  readonly #ids = ids.slice(0, 8);
  readonly #members: FleetMember[] = [];
  readonly #onDevice = new Map<FleetMember, Set<string>>();
  readonly #owners = new Map<string, FleetMember | undefined>();
  readonly #drained = new Set<FleetMember>();
  #started = 0;

  constructor(workers: number) {
    for (let index = 0; index < workers; index++) this.start({ warming: false });
    for (const id of this.#ids) {
      const owner = this.#ownerOf(id)!;
      this.#owners.set(id, owner);
      this.#load(owner, id);
    }
  }

  start({ warming = true } = {}): FleetMember {
    const member = this.#router.join(`w${this.#started++}`, { warming });
    this.#members.push(member);
    this.#onDevice.set(member, new Set());
    return member;
  }

  /** Has something happen. False: there is nobody to whom it can. */
  play({ kind, pick }: { readonly kind: string; readonly pick: number }): boolean {
    const { fleet } = this.#router;
    const some = (able: (member: FleetMember) => boolean) => {
      const all = this.#members.filter(able);
      return all[pick % Math.max(1, all.length)];
    };
    const is = (state: WorkerState) => (member: FleetMember) => member.state === state;
    const happens = (member: FleetMember | undefined, what: (member: FleetMember) => void) => {
      if (member !== undefined) what(member);
      return member !== undefined;
    };
    switch (kind) {
      case "start":
        return this.#members.length < 7 && happens(this.start(), () => {});
      case "leave":
        return happens(some(({ leaving }) => !leaving), (member) => fleet.handOver(member, 0));
      case "load": {
        const member = some((member) => this.#due(member).length > 0);
        return happens(member, (member) => this.#load(member, this.#due(member)[pick % this.#due(member).length]!));
      }
      case "warmed":
        return happens(some((member) => member.warming && this.#due(member).length === 0), (member) => fleet.warmed(member, 0));
      case "go":
        return happens(some((member) => this.#said(member, "handedOver") && !this.#drained.has(member)), (member) => {
          this.#drained.add(member);
          fleet.drain(member, 0);
        });
      default:
        return happens(some(is(WorkerState.DRAINING)), (member) => {
          this.#members.splice(this.#members.indexOf(member), 1);
          fleet.leave(member);
        });
    }
  }

  /** Adapters whose requests have gone, since the last look, to a worker that has not loaded them, although one that has takes requests. */
  get cooled(): string[] {
    const moved = this.#ids.filter((id) => this.#owners.get(id) !== this.#ownerOf(id));
    for (const id of moved) this.#owners.set(id, this.#ownerOf(id));
    return moved.filter((id) => {
      const warm = this.#members.filter((member) => !member.draining && this.#onDevice.get(member)!.has(id));
      return warm.length > 0 && !warm.includes(this.#owners.get(id)!);
    });
  }

  /** Workers that wait for others. */
  get waiting(): string[] {
    return this.#members.filter(({ state, leaving }) => state === WorkerState.WARMING || leaving).map(({ name }) => name);
  }

  /** Undefined: nobody is left. */
  #ownerOf(id: string): FleetMember | undefined {
    return this.#members.length === 0 ? undefined : this.#members.find(({ name }) => name === this.#router.owner(id));
  }

  #load(member: FleetMember, id: string): void {
    this.#onDevice.get(member)!.add(id);
    this.#router.load(member, id);
  }

  /** What a worker has been told to load and has not. */
  #due({ name }: FleetMember): string[] {
    const member = this.#members.find((member) => member.name === name)!;
    const told = this.#router.said(name).flatMap((message) => {
      if (message?.$case === "prefetch") return [message.value.adapter!.id];
      return message?.$case === "warmUp" ? message.value.adapters.map(({ id }) => id) : [];
    });
    return told.filter((id) => !this.#onDevice.get(member)!.has(id));
  }

  #said({ name }: FleetMember, what: string): boolean {
    return this.#router.said(name).some((message) => message?.$case === what);
  }
}

test("whoever comes and goes at the same time, no request goes to a cold worker while a warm one is there, and nobody waits for ever", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), fc.array(event, { maxLength: 60 }), (workers, events) => {
      const fleet = new ObedientFleet(workers);
      for (const one of events) {
        fleet.play(one);
        expect(fleet.cooled).toEqual([]);
      }
      const rest = ["load", "warmed", "go", "gone"];
      while (rest.some((kind) => fleet.play({ kind, pick: 0 }))) expect(fleet.cooled).toEqual([]);
      expect(fleet.waiting).toEqual([]);
    }),
    { numRuns: 1000 },
  );
});
