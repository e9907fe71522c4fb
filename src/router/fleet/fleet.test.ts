import { LoadSample, ResidencyUpdate, WorkerHello, WorkerState } from "@polygraft/api";
import { Status } from "nice-grpc";
import { describe, expect, test } from "vitest";
import type { Failure } from "../failure.js";
import { Fleet } from "./fleet.js";

const snapshot = (...ids: readonly string[]) =>
  ResidencyUpdate.fromPartial({ snapshot: true, complete: true, adapters: ids.map((id) => ({ identity: { id } })) });
const limits = { suspectAfterMillis: 300, goneAfterMillis: 1000, wedgedAfterMillis: 500 };

/** A fleet that writes down what it tells its listeners. */
function fleetWithDiary() {
  const fleet = new Fleet();
  const diary: string[] = [];
  fleet.listen({
    changed: ({ name, state }) => diary.push(`${name} is ${state}`),
    left: ({ name }) => diary.push(`${name} left`),
    announced({ name }, { announced, withdrawn }) {
      const ids = (adapters: typeof announced) => adapters.map(({ identity }) => identity?.id).join();
      diary.push(`${name} +${ids(announced)} -${ids(withdrawn)}`);
    },
  });
  const expelled: Failure[] = [];
  const join = (name: string, now = 0, epoch = "e") =>
    fleet.join(WorkerHello.fromPartial({ name, epoch, address: "h:1" }), (failure) => expelled.push(failure), now);
  const names = () => fleet.view.members.map(({ name }) => name);
  return { fleet, diary, expelled, join, names };
}

describe("Fleet", () => {
  test("lists a worker when its snapshot is complete, in the order of names", () => {
    const { fleet, diary, join, names } = fleetWithDiary();
    const b = join("b");
    expect(names()).toEqual([]);
    fleet.hold(b, ResidencyUpdate.fromPartial({ snapshot: true, adapters: [{ identity: { id: "x" } }] }), 0);
    expect(names()).toEqual([]);
    fleet.hold(b, ResidencyUpdate.fromPartial({ complete: true, adapters: [{ identity: { id: "y" } }] }), 0);
    fleet.hold(join("a"), snapshot(), 0);
    expect(names()).toEqual(["a", "b"]);
    expect(diary).toEqual(["b is 1", "b +x,y -", "a is 1", "a + -"]);
  });

  test("a view does not change; a new one has a higher version", () => {
    const { fleet, join } = fleetWithDiary();
    const before = fleet.view;
    fleet.hold(join("a"), snapshot(), 0);
    expect(before.members).toEqual([]);
    expect(fleet.view.version).toBeGreaterThan(before.version);
  });

  test("a snapshot replaces what was said before, a delta changes it", () => {
    const { fleet, diary, join } = fleetWithDiary();
    const a = join("a");
    fleet.hold(a, snapshot("x", "y"), 0);
    fleet.hold(a, ResidencyUpdate.fromPartial({ adapters: [{ identity: { id: "z" } }], removedIds: ["x"] }), 0);
    fleet.hold(a, snapshot("z"), 0);
    expect(diary.slice(1)).toEqual(["a +x,y -", "a +z -x", "a +z -y"]);
  });

  test("the newer of two workers of one name wins, and the older one cannot harm it", () => {
    const { fleet, expelled, join, names } = fleetWithDiary();
    const old = join("a", 0, "e1");
    fleet.hold(old, snapshot("x"), 0);
    const young = join("a", 0, "e2");
    expect(expelled).toMatchObject([{ status: Status.ALREADY_EXISTS }]);
    fleet.hold(young, snapshot("y"), 0);
    fleet.hold(old, snapshot("z"), 0);
    fleet.drain(old, 0);
    fleet.leave(old);
    expect(names()).toEqual(["a"]);
    expect(fleet.member("a")).toBe(young);
    expect(young.state).toBe(WorkerState.READY);
  });

  test("a silent worker is suspected, comes back when it is heard, and is gone in the end", () => {
    const { fleet, expelled, diary, join, names } = fleetWithDiary();
    const a = join("a");
    fleet.hold(a, snapshot(), 0);
    fleet.sweep(300, limits);
    expect(a.state).toBe(WorkerState.READY);
    fleet.sweep(301, limits);
    expect([a.state, a.draining]).toEqual([WorkerState.SUSPECTED, true]);
    fleet.load(a, LoadSample.fromPartial({ inFlightTokens: 5 }), 400);
    expect([a.state, a.inFlightTokens]).toEqual([WorkerState.READY, 5]);
    fleet.sweep(1401, limits);
    expect(names()).toEqual([]);
    expect(expelled).toMatchObject([{ status: Status.DEADLINE_EXCEEDED }]);
    expect(diary).toEqual(["a is 1", "a + -", "a is 3", "a is 1", "a left"]);
  });

  test("a worker that beats but takes no step with requests in flight is suspected until it takes one", () => {
    const { fleet, diary, join } = fleetWithDiary();
    const a = join("a");
    fleet.hold(a, snapshot(), 0);
    const hear = (now: number, steps: bigint, inFlightTokens: number) => {
      fleet.load(a, LoadSample.fromPartial({ steps, inFlightTokens }), now);
      fleet.sweep(now, limits);
      return [a.state, a.wedged];
    };
    const [ready, wedged] = [[WorkerState.READY, false], [WorkerState.SUSPECTED, true]];
    for (const now of [0, 200, 400, 600]) expect(hear(now, 7n, 0)).toEqual(ready); // idle
    for (const now of [800, 1000, 1200, 1300]) expect(hear(now, 7n, 50)).toEqual(ready);
    expect(hear(1301, 7n, 50)).toEqual(wedged);
    expect(hear(1500, 7n, 90)).toEqual(wedged); // a heartbeat is no step
    fleet.hold(a, snapshot("x"), 1550);
    expect(a.state).toBe(WorkerState.SUSPECTED);
    expect(hear(1600, 8n, 90)).toEqual(ready);
    for (const now of [1800, 2000, 2101]) expect(hear(now, 8n, 90)).toEqual(now > 2100 ? wedged : ready);
    expect(hear(2300, 8n, 0)).toEqual(ready); // its requests were cancelled
    expect(diary.filter((line) => line.includes(" is "))).toEqual(["a is 1", "a is 3", "a is 1", "a is 3", "a is 1"]);
  });

  test("a worker that was silent is not called wedged for the time of its silence", () => {
    const { fleet, join } = fleetWithDiary();
    const a = join("a");
    fleet.hold(a, snapshot(), 0);
    const busy = LoadSample.fromPartial({ steps: 7n, inFlightTokens: 50 });
    fleet.load(a, busy, 0);
    fleet.sweep(900, limits);
    expect([a.state, a.wedged]).toEqual([WorkerState.SUSPECTED, false]);
    fleet.load(a, busy, 901);
    fleet.sweep(1000, limits);
    expect(a.state).toBe(WorkerState.READY);
  });

  test("draining outlives silence and samples", () => {
    const { fleet, join } = fleetWithDiary();
    const a = join("a");
    fleet.hold(a, snapshot(), 0);
    fleet.drain(a, 0);
    fleet.sweep(500, limits);
    fleet.load(a, LoadSample.create(), 600);
    expect(a.state).toBe(WorkerState.DRAINING);
  });

  test("a worker that dies before its snapshot was never there", () => {
    const { fleet, diary, join } = fleetWithDiary();
    fleet.leave(join("a"));
    expect(diary).toEqual([]);
  });
});
