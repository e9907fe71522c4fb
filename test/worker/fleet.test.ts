import { rm } from "node:fs/promises";
import { join } from "node:path";
import { Tier, WorkerState } from "@polygraft/api";
import { expect, test } from "vitest";
import { deferred } from "../support/deferred.js";
import { hear, inferenceClient, listed, temporaryRouter, unlisted } from "../support/router-fixture.js";
import { ScriptedRouter } from "../support/scripted-router.js";
import { writeTinyAdapter } from "../support/tiny-model.js";
import { collect, request, temporaryWorker } from "../support/worker-fixture.js";

/** A log that keeps its warnings. */
function warningsOf() {
  const warnings: string[] = [];
  return { warnings, log: { info: () => {}, warn: (message: string) => void warnings.push(message), error: () => {} } };
}

test("a worker greets its router, says what it holds, then what changes", async () => {
  const router = await ScriptedRouter.start();
  const options = { join: [router.address], apiKey: "key-1", weight: 2, zone: "north" };
  await using tiny = await temporaryWorker({ a: { seed: 1 }, b: { seed: 2 } }, options);
  const stream = await router.stream(0);
  expect(stream.authorization).toBe("Bearer key-1");
  expect(await stream.said("hello")).toMatchObject({
    name: "worker-1",
    address: tiny.worker.address,
    weight: 2,
    zone: "north",
    model: { name: "tiny", contextLength: 512, vocabularySize: 320 },
  });
  const snapshot = await stream.said("residency");
  expect(snapshot).toMatchObject({ snapshot: true, complete: true, removedIds: [] });
  expect(snapshot.adapters).toMatchObject([
    { identity: { id: "a", digest: "" }, residency: [{ worker: "worker-1", tier: Tier.SOURCE }] },
    { identity: { id: "b" } },
  ]);
  await collect(tiny.inference.generate(request("hello", { adapter: { id: "a" } })));
  const change = await stream.said("residency", ({ adapters }) => adapters[0]?.residency[0]?.tier === Tier.DEVICE);
  expect(change).toMatchObject({ snapshot: false, adapters: [{ identity: { id: "a", digest: expect.stringMatching(/^sha256:/) } }] });
  await stream.said("residency", ({ adapters }) => adapters[0]?.residency[0]?.references === 0 && adapters[0].residency[0].tier === Tier.DEVICE);
  expect(stream.messages.map(({ sequence }) => sequence)).toEqual(stream.messages.map((_, index) => BigInt(index + 1)));
  router.stop();
});

test("load is told when it changes, and now and then when it does not", async () => {
  const router = await ScriptedRouter.start();
  await using tiny = await temporaryWorker({}, { join: [router.address] });
  const stream = await router.stream(0);
  await stream.said("load", ({ number }) => number >= 3n); // nothing happens, the heart beats
  const seen = new AbortController();
  const work = (async () => {
    while (!seen.signal.aborted) await collect(tiny.inference.generate(request("hello", { stopping: { maxTokens: 500 } })));
  })();
  const busy = await stream.said("load", ({ runningRequests }) => runningRequests === 1);
  expect(busy.inFlightTokens).toBeGreaterThan(0);
  expect(busy.kvBlocksUsed).toBeGreaterThan(0);
  seen.abort();
  await work;
  const idle = await stream.said("load", ({ number, runningRequests }) => number > busy.number && runningRequests === 0);
  expect(idle).toMatchObject({ inFlightTokens: 0, waitingRequests: 0 });
  expect(idle.steps).toBeGreaterThan(busy.steps ?? 0n);
  router.stop();
});

test("a router can have adapters fetched ahead, and can ask the worker to leave", async () => {
  const router = await ScriptedRouter.start();
  const asked = deferred<string>();
  const hooks = { onDrainRequest: asked.resolve };
  await using tiny = await temporaryWorker({ a: { seed: 1 } }, { join: [router.address] }, hooks);
  const stream = await router.stream(0);
  stream.say({ $case: "prefetch", value: { adapter: { id: "a", revision: "", digest: "" }, tier: Tier.DEVICE } });
  stream.say({ $case: "prefetch", value: { adapter: { id: "none", revision: "", digest: "" }, tier: Tier.DEVICE } });
  await stream.said("residency", ({ adapters }) => adapters[0]?.residency[0]?.tier === Tier.DEVICE);
  expect((await collect(tiny.inference.generate(request("hello", { adapter: { id: "a" } })))).accepted?.tier).toBe(Tier.DEVICE);
  stream.say({ $case: "drain", value: { reason: "scale in" } });
  expect(await asked.promise).toBe("scale in");
  router.stop();
});

test("a worker asks for nothing until it has loaded what its routers expect to use", async () => {
  const routers = [await ScriptedRouter.start(), await ScriptedRouter.start()];
  const join = routers.map(({ address }) => address);
  await using tiny = await temporaryWorker({ a: { seed: 1 }, b: { seed: 2 } }, { join, handOverSeconds: 60 });
  const streams = await Promise.all(routers.map(async (router) => router.stream(0)));
  const warmed = (stream: (typeof streams)[number]) => stream.messages.some(({ message }) => message?.$case === "warmed");
  for (const stream of streams) expect((await stream.said("hello")).warming).toBe(true);
  const ref = (id: string) => ({ id, revision: "", digest: "" });
  streams[0]!.say({ $case: "warmUp", value: { adapters: [ref("a"), ref("none")] } });
  for (const stream of streams) await stream.said("residency", ({ adapters }) => adapters[0]?.residency[0]?.tier === Tier.DEVICE);
  expect(streams.map(warmed)).toEqual([false, false]); // the other router has not said anything yet
  streams[1]!.say({ $case: "warmUp", value: { adapters: [ref("b")] } });
  for (const stream of streams) await stream.said("warmed");
  for (const id of ["a", "b"]) {
    expect((await collect(tiny.inference.generate(request("hello", { adapter: { id } })))).accepted?.tier).toBe(Tier.DEVICE);
  }
  streams[0]!.end();
  expect((await (await routers[0]!.stream(1)).said("hello")).warming).toBe(false);
  for (const router of routers) router.stop();
});

test("a worker waits for its first adapters only so long", async () => {
  const router = await ScriptedRouter.start();
  await using _ = await temporaryWorker({}, { join: [router.address], handOverSeconds: 0.1 });
  await (await router.stream(0)).said("warmed");
  router.stop();
});

test("a worker that leaves serves until its adapters are handed over", async () => {
  const router = await ScriptedRouter.start();
  const { log, warnings } = warningsOf();
  await using tiny = await temporaryWorker({}, { join: [router.address], handOverSeconds: 60, drainSeconds: 60, log });
  const stream = await router.stream(0);
  await stream.said("load");
  const fetchUnknown = () => stream.say({ $case: "prefetch", value: { adapter: { id: "none", revision: "", digest: "" }, tier: Tier.DEVICE } });
  fetchUnknown();
  await expect.poll(() => warnings).toEqual(["an adapter could not be prefetched"]);
  const drained = tiny.worker.drain("test");
  await stream.said("draining", ({ handOver }) => handOver === true);
  expect((await collect(tiny.inference.generate(request("hello")))).finished).toBeDefined();
  expect(stream.messages.filter(({ message }) => message?.$case === "draining")).toHaveLength(1);
  fetchUnknown(); // in vain: it begins nothing new
  stream.say({ $case: "handedOver", value: {} });
  await stream.said("draining", ({ handOver }) => handOver !== true);
  await drained;
  expect(warnings).toHaveLength(1);
  router.stop();
});

test("a worker comes back to a router that went away, and to one that ends its stream", async () => {
  const router = await ScriptedRouter.start();
  const port = Number(router.address.split(":")[1]);
  await using tiny = await temporaryWorker({ a: { seed: 1 } }, { join: [router.address] });
  const first = await (await router.stream(0)).said("hello");
  (await router.stream(0)).end();
  expect((await (await router.stream(1)).said("hello")).epoch).toBe(first.epoch); // a reconnect, not a restart
  router.stop();
  await writeTinyAdapter(join(tiny.adapters, "b"));
  await tiny.adapterService.listAdapters({});
  const again = await ScriptedRouter.start(port);
  const snapshot = await (await again.stream(0)).said("residency");
  expect(snapshot.adapters.map(({ identity }) => identity?.id)).toEqual(["a", "b"]);
  again.stop();
});

test("a router that knows a worker already is told what it has missed, no more", async () => {
  const router = await ScriptedRouter.start();
  await using tiny = await temporaryWorker({ a: { seed: 1 }, b: { seed: 2 } }, { join: [router.address] });
  const first = await router.stream(0);
  const { number } = await first.said("residency");
  await collect(tiny.inference.generate(request("hello", { adapter: { id: "b" } })));
  await first.said("residency", ({ snapshot }) => !snapshot);
  router.resumeAfter = number;
  first.end();
  const missed = await (await router.stream(1)).said("residency");
  expect(missed).toMatchObject({ snapshot: false, complete: true, adapters: [{ identity: { id: "b" } }] });
  expect(missed.adapters).toHaveLength(1);
  router.resumeAfter = 1_000_000n; // no number of this process
  (await router.stream(1)).end();
  expect(await (await router.stream(2)).said("residency")).toMatchObject({ snapshot: true, complete: true });
  router.stop();
});

test("a worker joins all routers behind a name, and finds those that come later when one is lost", async () => {
  const lost = await temporaryRouter();
  const port = lost.address.split(":")[1]!;
  await using stays = await temporaryRouter({ listen: `127.0.0.2:${port}` });
  const hosts = ["127.0.0.1", "127.0.0.2"];
  const asked: string[] = [];
  const resolve = async (host: string) => {
    asked.push(host);
    return [...hosts];
  };
  await using _ = await temporaryWorker({}, { join: [`routers.test:${port}`] }, { resolve });
  await listed(lost, "worker-1");
  await listed(stays, "worker-1");
  const before = stays.fleet.member("worker-1");
  await using comes = await temporaryRouter({ listen: `127.0.0.3:${port}` });
  hosts.splice(0, 1, "127.0.0.3");
  await lost.close();
  await listed(comes, "worker-1");
  expect(stays.fleet.member("worker-1")).toBe(before);
  expect(new Set(asked)).toEqual(new Set(["routers.test"]));
});

test("an adapter that was removed is told as gone", async () => {
  const router = await ScriptedRouter.start();
  await using tiny = await temporaryWorker({ a: { seed: 1 } }, { join: [router.address] });
  const stream = await router.stream(0);
  await stream.said("residency");
  await rm(join(tiny.adapters, "a"), { recursive: true });
  await tiny.adapterService.listAdapters({});
  expect(await stream.said("residency", ({ removedIds }) => removedIds.length > 0)).toMatchObject({ removedIds: ["a"], adapters: [] });
  router.stop();
});

test("a worker that drains says so, finishes what runs, and refuses what comes", async () => {
  await using router = await temporaryRouter();
  await using tiny = await temporaryWorker({ a: { seed: 1 } }, { join: [router.address] });
  await listed(router, "worker-1");
  using through = inferenceClient(router.address);
  const long = request("hello", { stopping: { maxTokens: 300 } });
  const events = through.client.generate(long)[Symbol.asyncIterator]();
  await events.next();
  const told = deferred<void>();
  router.fleet.listen({ changed: ({ state }) => void (state === WorkerState.DRAINING && told.resolve()) });
  const drained = tiny.worker.drain("test");
  await told.promise;
  const late = await collect(tiny.inference.generate(request("hello"))).catch((error: unknown) => error);
  expect(late).toMatchObject({ code: 14 });
  const rest = await collect({ [Symbol.asyncIterator]: () => events });
  expect(rest.finished?.usage?.outputTokens).toBe(300);
  await drained;
  await unlisted(router, "worker-1");
});

test("through a real router the stream is the worker's own, bit for bit", async () => {
  await using router = await temporaryRouter();
  await using tiny = await temporaryWorker({ a: { seed: 1 } }, { join: [router.address] });
  await listed(router, "worker-1");
  using through = inferenceClient(router.address);
  const wanted = request("hello the world", { adapter: { id: "a" }, response: { logprobs: true, topLogprobs: 2 } });
  const [direct, relayed] = [await collect(tiny.inference.generate(wanted)), await collect(through.client.generate(wanted))];
  expect(relayed.tokenIds).toEqual(direct.tokenIds);
  expect(relayed.logprobs).toEqual(direct.logprobs);
  expect(relayed.text).toBe(direct.text);
  const { error } = await hear(through.client.generate(request("hello", { adapter: { id: "none" } })));
  expect(error).toMatchObject({ code: 5 });
});
