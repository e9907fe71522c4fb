import { Adapter, WorkerHello } from "@polygraft/api";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ResidencyFeed } from "../../../gpu-worker/src/fleet/residency-feed.js";
import { ResidencyLog } from "../../../gpu-worker/src/fleet/residency-log.js";
import { Catalog } from "../catalog/catalog.js";
import { rememberedMillis } from "./departed.js";
import { Fleet } from "./fleet.js";
import type { FleetMember } from "./member.js";

const keyOf = ({ id, revision }: { readonly id: string; readonly revision: string }) => (revision === "" ? id : `${id}@${revision}`);

/** The adapters of a worker, and what tells of their changes. */
class Adapters {
  readonly all = new Map<string, Adapter>();
  #changed: (key: string) => void = () => {};

  subscribe(listener: (key: string) => void) {
    this.#changed = listener;
    return () => {};
  }

  keys = () => [...this.all.keys()];
  keysOf = (id: string) => this.keys().filter((key) => this.all.get(key)?.identity?.id === id);
  describe = (key: string) => this.all.get(key);

  set(id: string, revision: string, references: number): void {
    const key = keyOf({ id, revision });
    this.all.set(key, Adapter.fromPartial({ identity: { id, revision }, residency: [{ worker: "w", references }] }));
    this.#changed(key);
  }

  remove(id: string, revision: string): void {
    if (this.all.delete(keyOf({ id, revision }))) this.#changed(keyOf({ id, revision }));
  }
}

/** A worker and its router, with a line between them that can be cut. */
function wired(capacity: number, part: number) {
  const adapters = new Adapters();
  const log = new ResidencyLog(adapters, capacity);
  const fleet = new Fleet();
  const catalog = new Catalog();
  fleet.listen(catalog);
  let feed = new ResidencyFeed(adapters, log, part);
  let member: FleetMember | undefined;
  let cut = false;
  const parts: ("snapshot" | "missed")[] = [];

  /** Joins, and loses the line after so many messages. True: all of them arrived. */
  function join(epoch: string, messages: number, during: () => void = () => {}): boolean {
    member = fleet.join(WorkerHello.fromPartial({ name: "w", epoch, address: "h:1" }), () => {}, 0);
    feed = new ResidencyFeed(adapters, log, part);
    let left = messages;
    for (const update of feed.begin(member.holdings.number)) {
      cut = left-- === 0;
      if (cut) return false;
      parts.push(update.snapshot ? "snapshot" : "missed");
      fleet.hold(member, update, 0);
      during();
    }
    return true;
  }

  function tell(times = Infinity): void {
    if (cut) return;
    for (let left = times; left > 0 && feed.hasChanges; left--) {
      for (const update of feed.changes()) fleet.hold(member!, update, 0);
    }
  }

  function leave(): void {
    if (member !== undefined) fleet.leave(member);
  }

  const byKey = (all: Iterable<Adapter>) => new Map([...all].map((adapter) => [keyOf(adapter.identity!), adapter]));
  /** What the router knows, in the fleet and in its catalog; and what is so. */
  const views = () => ({
    held: byKey(fleet.member("w")?.holdings.adapters() ?? []),
    catalogued: byKey(catalog.ids.flatMap((id) => [...catalog.get(id)!.announcements()].map(([, adapter]) => adapter))),
    truth: new Map(adapters.all),
  });
  return { adapters, fleet, join, leave, tell, views, parts };
}

const id = fc.constantFrom("a", "b", "c", "d", "e");
const revision = fc.constantFrom("", "v1");
const change = fc.oneof(
  fc.record({ kind: fc.constant("set" as const), id, revision, references: fc.nat(9) }),
  fc.record({ kind: fc.constant("remove" as const), id, revision }),
);
const event = fc.oneof(
  { weight: 6, arbitrary: change },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("tell" as const), times: fc.nat(3) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("cut" as const), after: fc.nat(3), noticed: fc.boolean(), restart: fc.boolean() }) },
);

test("wherever streams are cut, the router's view is the worker's truth once it has been told all", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 8 }),
      fc.integer({ min: 1, max: 3 }),
      fc.array(event, { maxLength: 60 }),
      change,
      (capacity, part, events, meanwhile) => {
        const { adapters, join, leave, tell, views } = wired(capacity, part);
        let epoch = 0;
        const apply = (it: typeof meanwhile) =>
          it.kind === "set" ? adapters.set(it.id, it.revision, it.references) : adapters.remove(it.id, it.revision);
        join("e0", Infinity);
        for (const it of events) {
          if (it.kind === "tell") tell(it.times);
          else if (it.kind !== "cut") apply(it);
          else {
            if (it.noticed) leave();
            if (it.restart) epoch += 1;
            join(`e${epoch}`, it.after, () => apply(meanwhile));
          }
        }
        leave();
        join(`e${epoch}`, Infinity);
        tell();
        const { held, catalogued, truth } = views();
        expect(held).toEqual(truth);
        expect(catalogued).toEqual(truth);
      },
    ),
    { numRuns: 1000 },
  );
});

describe("a worker that comes back", () => {
  function settled(capacity = 100) {
    const one = wired(capacity, 2);
    for (const name of ["a", "b", "c", "d", "e"]) one.adapters.set(name, "", 0);
    one.join("e0", Infinity);
    one.parts.length = 0;
    one.leave();
    return one;
  }

  test("tells what has changed, no more; and is listed with that", () => {
    const { adapters, join, parts, views } = settled();
    adapters.set("a", "", 7);
    expect(join("e0", Infinity)).toBe(true);
    expect(parts).toEqual(["missed"]);
    expect(views().held.size).toBe(5);
  });

  test("without any change sends one empty part", () => {
    const { fleet, join, parts } = settled();
    join("e0", 0);
    expect(fleet.member("w")).toBeUndefined();
    join("e0", Infinity);
    expect(parts).toEqual(["missed"]);
    expect(fleet.member("w")).toBeDefined();
  });

  test.each([
    ["has started anew", "e1", 0, 100],
    ["has changed more than its log keeps", "e0", 5, 4],
  ])("sends a snapshot in parts if it %s", (_, epoch, changes, capacity) => {
    const { adapters, join, parts, views } = settled(capacity);
    for (let count = 0; count < changes; count++) adapters.set("a", "", count);
    join(epoch, Infinity);
    expect(parts).toEqual(["snapshot", "snapshot", "snapshot"]);
    expect(views().held).toEqual(views().truth);
  });

  test("is forgotten after a while", () => {
    const { fleet, join, parts } = settled();
    const limits = { suspectAfterMillis: 1e9, goneAfterMillis: 1e9, wedgedAfterMillis: 1e9 };
    fleet.sweep(rememberedMillis + 1, limits);
    join("e0", Infinity);
    expect(parts).toEqual(["snapshot", "snapshot", "snapshot"]);
  });
});
