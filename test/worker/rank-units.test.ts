import { Tier } from "@polygraft/api";
import { preferenceList, prepareFleet } from "@polygraft/placement";
import type { Metadata } from "nice-grpc";
import { expect, test } from "vitest";
import { deferred } from "../support/deferred.js";
import { hear, inferenceClient, listed, temporaryRouter } from "../support/router-fixture.js";
import { ScriptedRouter } from "../support/scripted-router.js";
import { collect, request, temporaryWorker } from "../support/worker-fixture.js";

/** Of two layers of the tiny model: q and v at rank 8 in 32 bits, where A is packed as one tile of sixteen rows. */
const deviceBytes = 2 * 4 * (16 * (64 + 64) + 8 * (64 + 32));
/** Two layers of seven projections, 64 by 64 at rank 1 in 16 bits. */
const unitBytes = 2 * 7 * (64 + 64) * 2;

test("a worker tells its memory in rank units, and which of them requests and pins hold", async () => {
  const router = await ScriptedRouter.start();
  const options = { join: [router.address], adapterBytes: 100 * unitBytes };
  await using tiny = await temporaryWorker({ a: { seed: 1 }, b: { seed: 2 } }, options);
  const stream = await router.stream(0);
  expect((await stream.said("hello")).capacity).toMatchObject({
    adapterBytes: BigInt(100 * unitBytes),
    adapterRankUnits: 100,
  });
  expect((await stream.said("load")).freeRankUnits).toBe(100);
  const left = (adapters: number) => Math.floor((100 * unitBytes - adapters * deviceBytes) / unitBytes);
  expect(left(1)).toBeLessThan(100);

  await tiny.adapterService.loadAdapter({ adapter: { id: "a" } });
  const loaded = await stream.said("load", ({ adapterBytesUsed }) => adapterBytesUsed === BigInt(deviceBytes));
  await stream.said("load", ({ number, freeRankUnits }) => number > loaded.number && freeRankUnits === 100); // it could go
  await tiny.adapterService.pinAdapter({ adapter: { id: "a" }, pinned: true });
  const pinned = await stream.said("load", ({ freeRankUnits }) => freeRankUnits === left(1));
  const seen = new AbortController();
  const long = request("hello", { adapter: { id: "b" }, stopping: { maxTokens: 400 } });
  const running = (async () => {
    while (!seen.signal.aborted) await collect(tiny.inference.generate(long));
  })();
  const busy = await stream.said("load", ({ number, freeRankUnits }) => number > pinned.number && freeRankUnits === left(2));
  seen.abort();
  await running;
  await stream.said("load", ({ number, freeRankUnits }) => number > busy.number && freeRankUnits === left(1));
  router.stop();
});

test("an adapter goes past a worker whose memory is pinned, and stays where it is on the device", async () => {
  await using router = await temporaryRouter();
  const prepared = prepareFleet([{ name: "full" }, { name: "roomy" }]);
  const names = Array.from({ length: 32 }, (_, index) => `adapter-${index}`);
  const [kept = "", late = ""] = names.filter((id) => preferenceList(prepared, id, 1)[0] === "full");
  const adapters = { [kept]: { seed: 1 }, [late]: { seed: 2 } };
  const join = [router.address];
  await using full = await temporaryWorker(adapters, { name: "full", join, adapterBytes: 2 * deviceBytes - 1 });
  await using _roomy = await temporaryWorker(adapters, { name: "roomy", join });
  await listed(router, "full", "roomy");
  using through = inferenceClient(router.address);
  const routeOf = async (id: string) => {
    const header = deferred<Metadata>();
    const wanted = request("hello", { adapter: { id }, routing: { explain: true } });
    const { error } = await hear(through.client.generate(wanted, { onHeader: header.resolve }));
    expect(error).toBeUndefined();
    const headers = await header.promise;
    return [headers.get("polygraft-worker"), headers.get("polygraft-placement")];
  };

  expect(await routeOf(late)).toEqual(["full", "preferred"]);
  await full.adapterService.pinAdapter({ adapter: { id: kept }, pinned: true });
  const { promise: heard, resolve } = deferred<void>();
  const isFull = () => {
    const member = router.fleet.member("full");
    const here = [...(member?.holdings.adapters() ?? [])].find(({ identity }) => identity?.id === late);
    if (member!.freeRankUnits < deviceBytes / unitBytes && here?.residency[0]?.tier !== Tier.DEVICE) resolve();
  };
  const stop = router.fleet.listen({ loaded: isFull, announced: isFull });
  isFull();
  await heard;
  stop();
  expect(await routeOf(late)).toEqual(["roomy", "spilled"]);
  expect(await routeOf(kept)).toEqual(["full", "preferred"]);
});
