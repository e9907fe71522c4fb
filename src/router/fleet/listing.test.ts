import { LoadSample, ResidencyUpdate, WorkerHello, WorkerState } from "@polygraft/api";
import fc from "fast-check";
import { expect, test } from "vitest";
import { Candidates } from "../dispatch/candidates.js";
import { Catalog } from "../catalog/catalog.js";
import { isFailure } from "../failure.js";
import { Fleet } from "./fleet.js";
import type { Dispatched } from "@polygraft/placement";
import type { FleetMember } from "./member.js";

const name = fc.constantFrom("a", "b", "c", "d", "e");
const operation = fc.oneof(
  fc.record({ kind: fc.constant("join" as const), name, model: fc.constantFrom("m", "n") }),
  fc.record({ kind: fc.constantFrom("hold" as const, "leave" as const, "drain" as const, "release" as const), name }),
  fc.record({ kind: fc.constantFrom("load" as const, "dispatch" as const), name, tokens: fc.nat(100) }),
  fc.record({ kind: fc.constant("sweep" as const), after: fc.nat(400) }),
);
const limits = { suspectAfterMillis: 300, goneAfterMillis: 1000, wedgedAfterMillis: 500 };

test("lists and totals are those that sorting and summing anew would give, and old lists stay as they were", () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
      const fleet = new Fleet();
      const candidates = new Candidates(fleet, new Catalog());
      const all = new Map<string, FleetMember>();
      const shares: { readonly member: FleetMember; readonly share: Dispatched }[] = [];
      let now = 0;
      for (const one of operations) {
        const before = fleet.view.members;
        const copy = [...before];
        if (one.kind === "sweep") {
          now += one.after;
          fleet.sweep(now, limits);
        } else if (one.kind === "join") {
          const hello = WorkerHello.fromPartial({ name: one.name, address: "h:1", model: { name: one.model } });
          all.set(one.name, fleet.join(hello, () => {}, now));
        } else apply(fleet, all.get(one.name), one, now, shares);
        expect(before).toEqual(copy);
        if (one.kind === "dispatch") continue; // several changes before the next look
        const expected = [...all.values()].filter((member) => fleet.member(member.name) === member);
        expect(fleet.view.members).toEqual(expected.sort((x, y) => (x.name < y.name ? -1 : 1)));
        for (const model of ["m", "n"]) {
          const found = candidates.find(model, undefined);
          const served = expected.filter(({ hello, state }) => hello.model?.name === model && state === WorkerState.READY);
          const sum = served.reduce((total, { inFlightTokens }) => total + inFlightTokens, 0);
          if (isFailure(found)) {
            expect(sum).toBe(0);
            continue;
          }
          expect(found.fleet.workers).toEqual(expected.filter(({ hello }) => hello.model?.name === model));
          expect([found.fleet.totalTokens, found.fleet.totalWeight]).toEqual([sum, served.length]);
        }
      }
    }),
  );
});

function apply(
  fleet: Fleet,
  member: FleetMember | undefined,
  { kind, tokens = 0 }: { readonly kind: string; readonly tokens?: number },
  now: number,
  shares: { readonly member: FleetMember; readonly share: Dispatched }[],
): void {
  if (member === undefined) return;
  if (kind === "hold") fleet.hold(member, ResidencyUpdate.fromPartial({ snapshot: true, complete: true }), now);
  else if (kind === "leave") fleet.leave(member);
  else if (kind === "drain") fleet.drain(member, now);
  else if (kind === "load") fleet.load(member, LoadSample.fromPartial({ inFlightTokens: tokens }), now);
  else if (kind === "dispatch") shares.push({ member, share: member.tally.dispatch(tokens) });
  else {
    const last = shares.pop();
    last?.member.tally.release(last.share);
  }
}

test("a member that has left counts for nothing, whatever becomes of its requests", () => {
  const fleet = new Fleet();
  const join = (name: string) => {
    const member = fleet.join(WorkerHello.fromPartial({ name, address: "h:1", model: { name: "m" } }), () => {}, 0);
    fleet.hold(member, ResidencyUpdate.fromPartial({ snapshot: true, complete: true }), 0);
    return member;
  };
  const [gone, stays] = [join("a"), join("b")];
  const share = gone.tally.dispatch(100);
  stays.tally.dispatch(7);
  expect(stays.total.tokens).toBe(107);
  fleet.leave(gone);
  expect(stays.total.tokens).toBe(7);
  gone.tally.release(share);
  gone.tally.dispatch(3);
  expect(stays.total.tokens).toBe(7);
});
