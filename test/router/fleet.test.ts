import { FleetServiceDefinition, Tier, WorkerState } from "@polygraft/api";
import type { WatchFleetResponse } from "@polygraft/api";
import { preferenceList, prepareFleet } from "@polygraft/placement";
import { createChannel, createClient, Status } from "nice-grpc";
import { describe, expect, test } from "vitest";
import { child } from "../support/child.js";
import { manualTimers } from "../support/manual-timers.js";
import { errorInfo, hear, inferenceClient, listed, servedBy, temporaryRouter, textRequest, unlisted } from "../support/router-fixture.js";
import { delta, finished } from "../support/scripted-service.js";
import { announcedAdapter, startScriptedWorker } from "../support/scripted-worker.js";
import type { ScriptedWorker } from "../support/scripted-worker.js";

const script = (worker: string) =>
  async function* () {
    yield { event: { $case: "accepted" as const, value: { worker } } };
    yield delta("hello", 1);
    yield finished(1);
  };

/** Follows a router's fleet as a client does; `until` reads on until the picture fits. */
function watch(address: string, residency = false) {
  const channel = createChannel(address);
  const stop = new AbortController();
  const stream = createClient(FleetServiceDefinition, channel).watchFleet({ residency }, { signal: stop.signal });
  const responses = stream[Symbol.asyncIterator]();
  const workers = new Map<string, WatchFleetResponse["workers"][number]>();
  const versions: bigint[] = [];
  return {
    workers,
    versions,
    async until(fits: () => boolean) {
      do {
        const { value, done } = await responses.next();
        if (done === true) throw new Error("the watch ended");
        const response = value as WatchFleetResponse;
        if (response.snapshot) expect(workers.size === 0 || !response.complete).toBe(true);
        for (const worker of response.workers) workers.set(worker.hello?.name ?? "", worker);
        for (const name of response.removedWorkers) workers.delete(name);
        versions.push(response.version);
      } while (!fits());
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await responses.next().catch(() => {});
      channel.close();
    },
  };
}

describe("WatchFleet", () => {
  test("tells the fleet, then what changes: load, state, residency, who joins and leaves", async () => {
    await using router = await temporaryRouter();
    await using w1 = await startScriptedWorker({ router: router.address, name: "w1", script: script("w1") });
    await listed(router, "w1");
    await using seen = watch(router.address, true);
    await seen.until(() => seen.workers.size === 1);
    expect(seen.workers.get("w1")).toMatchObject({ hello: { name: "w1", address: w1.address }, state: WorkerState.READY });

    w1.load({ inFlightTokens: 77 });
    await seen.until(() => seen.workers.get("w1")?.load?.inFlightTokens === 77);
    const adapters = [announcedAdapter("held"), announcedAdapter("known", { tier: Tier.SOURCE })];
    w1.say({ $case: "residency", value: { snapshot: false, complete: false, adapters, removedIds: [] } });
    await seen.until(() => seen.workers.get("w1")?.adapters.length === 1);
    expect(seen.workers.get("w1")?.adapters[0]?.identity?.id).toBe("held");
    w1.say({ $case: "draining", value: { reason: "test" } });
    await seen.until(() => seen.workers.get("w1")?.state === WorkerState.DRAINING);

    await using w2 = await startScriptedWorker({ router: router.address, name: "w2", script: script("w2") });
    await seen.until(() => seen.workers.has("w2"));
    w2.leave();
    await seen.until(() => !seen.workers.has("w2"));
    for (const [index, version] of seen.versions.slice(1).entries()) expect(version > seen.versions[index]!).toBe(true);
  });

  test("an empty fleet is told as well", async () => {
    await using router = await temporaryRouter();
    await using seen = watch(router.address);
    await seen.until(() => seen.versions.length === 1);
    expect(seen.workers.size).toBe(0);
  });
});

describe("a hand-over while another worker starts", () => {
  const names = ["leaver", "newcomer", "stayer"];
  /** An adapter whose requests go to these, in this order. */
  const preferring = (...order: readonly string[]) => {
    const fleet = prepareFleet(names.map((name) => ({ name })));
    for (let number = 0; ; number++) {
      const id = `adapter-${number}`;
      if (preferenceList(fleet, id).join() === order.join()) return id;
    }
  };

  /** A fleet of two; the leaver has that adapter on its device, all others know where it is. */
  async function fleetOf(id: string) {
    const router = await temporaryRouter();
    const start = (name: string, tier: Tier, warming = false) =>
      startScriptedWorker({ router: router.address, name, script: script(name), adapters: [announcedAdapter(id, { tier })], warming });
    const [leaver, stayer] = [await start("leaver", Tier.DEVICE), await start("stayer", Tier.DISK)];
    await listed(router, "leaver", "stayer");
    const seen = watch(router.address, true);
    await seen.until(() => seen.workers.get("leaver")?.adapters.length === 1 && seen.workers.get("stayer")?.adapters.length === 1);
    const connection = inferenceClient(router.address);
    const dispose = async () => {
      connection[Symbol.dispose]();
      await seen[Symbol.asyncDispose]();
      for (const worker of [leaver, stayer]) await worker[Symbol.asyncDispose]();
      await router.close();
    };
    return {
      leaver,
      stayer,
      seen,
      startNewcomer: () => start("newcomer", Tier.DISK, true),
      load: (worker: ScriptedWorker) => {
        const adapters = [announcedAdapter(id, { tier: Tier.DEVICE })];
        worker.say({ $case: "residency", value: { snapshot: false, complete: true, adapters, removedIds: [] } });
      },
      askedOf: async () => servedBy(await hear(connection.client.generate(textRequest("a", id)))),
      [Symbol.asyncDispose]: dispose,
    };
  }

  const isIn = (seen: ReturnType<typeof watch>, name: string, state: WorkerState) => () => seen.workers.get(name)?.state === state;

  test("a newcomer that becomes the next owner loads what is left behind before it takes requests, and the leaver does not wait for it", async () => {
    const id = preferring("leaver", "newcomer", "stayer");
    await using fleet = await fleetOf(id);
    const { leaver, stayer, seen, startNewcomer, load, askedOf } = fleet;
    await using newcomer = await startNewcomer();
    await seen.until(isIn(seen, "newcomer", WorkerState.WARMING));
    leaver.say({ $case: "draining", value: { reason: "test", handOver: true } });
    expect(await newcomer.toldToLoad(id)).toEqual([id]);
    expect(await stayer.toldToLoad(id)).toEqual([id]);
    expect(await askedOf()).toBe("leaver");
    load(stayer);
    await leaver.handedOver();
    leaver.say({ $case: "draining", value: { reason: "test" } });
    await seen.until(isIn(seen, "leaver", WorkerState.DRAINING));
    expect(await askedOf()).toBe("stayer");
    load(newcomer);
    newcomer.say({ $case: "warmed", value: {} });
    await seen.until(isIn(seen, "newcomer", WorkerState.READY));
    expect(await askedOf()).toBe("newcomer");
  });

  test("a newcomer that starts while another one leaves is told at once", async () => {
    const id = preferring("leaver", "newcomer", "stayer");
    await using fleet = await fleetOf(id);
    const { leaver, stayer, startNewcomer } = fleet;
    leaver.say({ $case: "draining", value: { reason: "test", handOver: true } });
    await stayer.toldToLoad(id);
    await using newcomer = await startNewcomer();
    expect(await newcomer.toldToLoad(id)).toEqual([id]);
  });

  test("a leaver whose heir leaves as well waits for the next one, and gets no requests that it would pass on", async () => {
    const id = preferring("leaver", "stayer", "newcomer");
    await using fleet = await fleetOf(id);
    const { leaver, stayer, seen, startNewcomer, load, askedOf } = fleet;
    await using newcomer = await startNewcomer();
    newcomer.say({ $case: "warmed", value: {} });
    await seen.until(isIn(seen, "newcomer", WorkerState.READY));
    leaver.say({ $case: "draining", value: { reason: "test", handOver: true } });
    await stayer.toldToLoad(id);
    stayer.say({ $case: "draining", value: { reason: "test", handOver: true } });
    expect(await newcomer.toldToLoad(id)).toEqual([id]);
    await stayer.handedOver();
    load(newcomer);
    await leaver.handedOver();
    leaver.say({ $case: "draining", value: { reason: "test" } });
    await seen.until(isIn(seen, "leaver", WorkerState.DRAINING));
    expect(await askedOf()).toBe("newcomer");
  });
});

describe("Join", () => {
  const options = (router: { readonly address: string }, name = "w1") => ({ router: router.address, name, script: script(name) });

  test("a worker whose stream ends gets nothing more", async () => {
    await using router = await temporaryRouter();
    await using worker = await startScriptedWorker(options(router));
    await listed(router, "w1");
    worker.leave();
    await unlisted(router, "w1");
    using connection = inferenceClient(router.address);
    expect(errorInfo((await hear(connection.client.generate(textRequest("a")))).error)?.reason).toBe("NO_WORKER");
    expect(await worker.expelled).toBeUndefined();
  });

  test("the newer of two workers of one name wins", async () => {
    await using router = await temporaryRouter();
    await using old = await startScriptedWorker({ ...options(router), epoch: "e1", script: script("old") });
    await listed(router, "w1");
    await using young = await startScriptedWorker({ ...options(router), epoch: "e2", script: script("young") });
    expect(await old.expelled).toMatchObject({ code: Status.ALREADY_EXISTS });
    await listed(router, "w1");
    using connection = inferenceClient(router.address);
    expect(servedBy(await hear(connection.client.generate(textRequest("a"))))).toBe("young");
    expect(young.calls).toHaveLength(1);
  });

  test("draining and silent workers get requests only if there is nobody else", async () => {
    const timers = manualTimers();
    await using router = await temporaryRouter({ timers, suspectAfterMillis: 3000 });
    await using w1 = await startScriptedWorker(options(router, "w1"));
    await using w2 = await startScriptedWorker(options(router, "w2"));
    await listed(router, "w1", "w2");
    const served = async () => {
      using connection = inferenceClient(router.address);
      const keys = Array.from({ length: 8 }, (_, index) => ({ ...textRequest("a"), routing: { key: `${index}`, worker: "" } }));
      const heard = await Promise.all(keys.map((request) => hear(connection.client.generate(request))));
      return [...new Set(heard.map(servedBy))].sort();
    };
    const changed = (name: string, state: WorkerState) =>
      new Promise<void>((resolve) => {
        const stop = router.fleet.listen({
          changed(member) {
            if (member.name !== name || member.state !== state) return;
            stop();
            resolve();
          },
        });
      });
    expect(await served()).toEqual(["w1", "w2"]);
    const draining = changed("w1", WorkerState.DRAINING);
    w1.say({ $case: "draining", value: { reason: "test" } });
    await draining;
    expect(await served()).toEqual(["w2"]);
    timers.advance(4000);
    expect(router.fleet.member("w2")?.state).toBe(WorkerState.SUSPECTED);
    const heard = changed("w2", WorkerState.READY);
    w2.load({ inFlightTokens: 0 });
    await heard;
    expect(await served()).toEqual(["w2"]);
  });

  test.each([
    ["a second greeting", { $case: "hello" as const }],
    ["a gap in the sequence", undefined],
  ])("%s ends the stream", async (_, message) => {
    await using router = await temporaryRouter();
    const channel = createChannel(router.address);
    async function* requests() {
      const model = { name: "tiny" };
      yield { sequence: 1n, message: { $case: "hello" as const, value: { name: "w", epoch: "e", address: "h:1", model } } };
      yield { sequence: message === undefined ? 3n : 2n, message: { $case: "hello" as const, value: {} } };
    }
    const reading = (async () => {
      for await (const _ of createClient(FleetServiceDefinition, channel).join(requests()));
    })();
    await expect(reading).rejects.toMatchObject({ code: Status.INVALID_ARGUMENT });
    channel.close();
  });
});

test("a worker process that stands still is suspected, its stream goes on elsewhere, and then it is gone", async () => {
  const timers = manualTimers();
  await using router = await temporaryRouter({ timers, suspectAfterMillis: 3000, goneAfterMillis: 9000 });
  await using paused = child("worker-process.mjs", [router.address, "paused"]);
  await listed(router, "paused");
  const called = new Promise((resolve) => paused.once("message", resolve));
  using connection = inferenceClient(router.address);
  const stream = hear(connection.client.generate(textRequest("a")));
  await called;
  paused.kill("SIGSTOP");
  await using other = await startScriptedWorker({ router: router.address, name: "other", script: script("other") });
  await listed(router, "other");
  // The paused one has not closed its connections: only its silence says that something is wrong.
  timers.advance(2000);
  other.load({ inFlightTokens: 1 });
  while (router.fleet.member("other")?.heardAt !== timers.now()) await new Promise((resolve) => setImmediate(resolve));
  timers.advance(2000);
  expect(router.fleet.member("paused")?.state).toBe(WorkerState.SUSPECTED);
  expect(await stream).toMatchObject({ text: "hello", error: undefined });
  expect(other.calls).toHaveLength(1);
  timers.advance(6000);
  await unlisted(router, "paused");
  expect(paused.exitCode ?? paused.signalCode).toBeNull();
});
