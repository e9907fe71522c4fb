import { ListAdaptersRequest, ResidencyUpdate, Tier, WorkerHello } from "@polygraft/api";
import type { Adapter } from "@polygraft/api";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { announcedAdapter } from "../../../test/support/scripted-worker.js";
import { isFailure } from "../failure.js";
import { Fleet } from "../fleet/fleet.js";
import { Catalog } from "./catalog.js";
import { mergedAdapters } from "./merge.js";
import { listPage } from "./page.js";

function catalogOf(workers: Readonly<Record<string, readonly Adapter[]>>) {
  const fleet = new Fleet();
  const catalog = new Catalog();
  fleet.listen(catalog);
  const members = new Map(
    Object.entries(workers).map(([name, adapters]) => {
      const member = fleet.join(WorkerHello.fromPartial({ name, address: "h:1" }), () => {}, 0);
      fleet.hold(member, ResidencyUpdate.fromPartial({ snapshot: true, complete: true, adapters: [...adapters] }), 0);
      return [name, member] as const;
    }),
  );
  const merged = (id: string) => {
    const entry = catalog.get(id);
    return entry === undefined ? [] : mergedAdapters(entry);
  };
  return { fleet, catalog, members, merged };
}

const residency = (adapter: Adapter | undefined) => adapter?.residency.map(({ worker, tier }) => [worker, tier]);

describe("Catalog", () => {
  test("lists a worker once for each adapter that it holds above its source", () => {
    const { catalog, merged } = catalogOf({
      w2: [announcedAdapter("a", { tier: Tier.DEVICE })],
      w1: [announcedAdapter("a")],
      w3: [announcedAdapter("a", { tier: Tier.SOURCE })],
    });
    expect(residency(merged("a")[0])).toEqual([
      ["w1", Tier.DISK],
      ["w2", Tier.DEVICE],
    ]);
    expect([...(catalog.get("a")?.holders ?? [])].sort()).toEqual(["w1", "w2", "w3"]);
    expect([...(catalog.get("a")?.resident ?? [])]).toEqual(["w2"]);
  });

  test("different contents under one id are different adapters", () => {
    const { merged } = catalogOf({
      w1: [announcedAdapter("a", { digest: "sha256:1" })],
      w2: [announcedAdapter("a", { digest: "sha256:2" })],
      w3: [announcedAdapter("a", { digest: "" })],
    });
    expect(merged("a").map(({ identity }) => identity?.digest)).toEqual(["", "sha256:1", "sha256:2"]);
  });

  test("who has not read the content yet counts to those who have, if they agree", () => {
    const { merged } = catalogOf({
      w1: [announcedAdapter("a", { digest: "" })],
      w2: [announcedAdapter("a", { digest: "sha256:2" })],
    });
    expect(merged("a").map(residency)).toEqual([
      [
        ["w1", Tier.DISK],
        ["w2", Tier.DISK],
      ],
    ]);
  });

  test("forgets with the last holder", () => {
    const { fleet, catalog, members } = catalogOf({ w1: [announcedAdapter("a")], w2: [announcedAdapter("a")] });
    fleet.leave(members.get("w1")!);
    expect(catalog.ids).toEqual(["a"]);
    fleet.hold(members.get("w2")!, ResidencyUpdate.fromPartial({ removedIds: ["a"] }), 0);
    expect(catalog.ids).toEqual([]);
    expect(catalog.get("a")).toBeUndefined();
  });
});

describe("listPage", () => {
  test("pages together are the whole list, in order, whatever the page size", () => {
    const ids = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 3 }), { maxLength: 30 });
    fc.assert(
      fc.property(ids, fc.integer({ min: 1, max: 7 }), fc.string({ maxLength: 1 }), (all, pageSize, prefix) => {
        const { catalog } = catalogOf({
          w1: all.map((id) => announcedAdapter(id, { digest: "sha256:1" })),
          w2: all.map((id) => announcedAdapter(id, { digest: "sha256:2" })),
        });
        const listed: string[] = [];
        let pageToken = "";
        do {
          const page = listPage(catalog, ListAdaptersRequest.create({ pageSize, pageToken, prefix }));
          if (isFailure(page)) throw new Error(page.message);
          expect(page.adapters.length).toBeLessThanOrEqual(pageSize);
          listed.push(...page.adapters.map(({ identity }) => identity?.id ?? ""));
          pageToken = page.nextPageToken;
        } while (pageToken !== "");
        const expected = all.filter((id) => id.startsWith(prefix)).sort();
        expect(listed).toEqual(expected.flatMap((id) => [id, id]));
      }),
    );
  });

  test.each([
    ["page_size", { pageSize: 1001 }],
    ["page_token", { pageToken: "nonsense" }],
  ])("%s out of range", (field, more) => {
    const { catalog } = catalogOf({});
    expect(listPage(catalog, ListAdaptersRequest.create(more))).toMatchObject({ violations: [{ field }] });
  });
});
