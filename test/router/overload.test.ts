import { ServerError, Status } from "nice-grpc";
import { describe, expect, test } from "vitest";
import { deferred } from "../support/deferred.js";
import { manualTimers } from "../support/manual-timers.js";
import { rawClient, readAnswer, requestFrame } from "../support/raw-grpc.js";
import type { RawAnswer } from "../support/raw-grpc.js";
import { hear, inferenceClient, listed, temporaryRouter, textRequest } from "../support/router-fixture.js";
import { delta, finished } from "../support/scripted-service.js";
import { startScriptedWorker } from "../support/scripted-worker.js";
import type { ScriptedWorkerOptions } from "../support/scripted-worker.js";

/** A worker whose answers end when the test says so. */
function stoppableWorker(router: string, more: Partial<ScriptedWorkerOptions> = {}) {
  const releases: { readonly prompt: string; readonly end: () => void }[] = [];
  const worker = startScriptedWorker({
    router,
    name: "w1",
    ...more,
    async *script({ prompt }, { signal }) {
      const end = deferred();
      releases.push({ prompt: prompt?.$case === "text" ? prompt.value : "", end: end.resolve });
      signal.addEventListener("abort", () => end.resolve(), { once: true });
      yield delta("a", 1);
      await end.promise;
      yield finished(1);
    },
  });
  return { worker, releases };
}

describe("requests that wait in the router", () => {
  test("reach a worker in the order of priority when a place is left, and leave nothing behind when their client goes", async () => {
    await using router = await temporaryRouter({ maxStreams: 1, maxQueue: 8 });
    const { worker: starting, releases } = stoppableWorker(router.address);
    await using worker = await starting;
    await listed(router, "w1");
    using client = rawClient(router.address);
    const ask = async (text: string, priority: number) => {
      const stream = client.open();
      stream.end(requestFrame({ ...textRequest(text), qos: { priority } }));
      // What is asked later on the same connection is answered: the router has read this one.
      await client.settled();
      return { stream, answer: readAnswer(stream) };
    };
    const first = await ask("first", 0);
    await worker.received(1);
    const [low, gone, high] = [await ask("low", -1), await ask("gone", 9), await ask("high", 5)];
    gone.stream.close(8);
    await client.settled();
    for (const [turn, { answer }] of [first, high, low].entries()) {
      await worker.received(turn + 1);
      releases[turn]!.end();
      expect((await answer).status).toBe("0");
    }
    expect(releases.map(({ prompt }) => prompt)).toEqual(["first", "high", "low"]);
  });

  test("above the queue's bound are refused, in trailers with a pushback", async () => {
    await using router = await temporaryRouter({ maxStreams: 1, maxQueue: 1 });
    const { worker: starting, releases } = stoppableWorker(router.address);
    await using worker = await starting;
    await listed(router, "w1");
    using client = rawClient(router.address);
    const running = client.call(requestFrame(textRequest("a")));
    await worker.received(1);
    const waiting = client.call(requestFrame(textRequest("b")));
    await client.settled();
    const refused = await client.call(requestFrame(textRequest("c")));
    expect(refused.status).toBe(String(Status.RESOURCE_EXHAUSTED));
    expect(Number({ ...refused.head, ...refused.trailers }["grpc-retry-pushback-ms"])).toBeGreaterThan(0);
    releases[0]!.end();
    await worker.received(2);
    releases[1]!.end();
    expect([(await running).status, (await waiting).status]).toEqual(["0", "0"]);
  });

  test("are refused at once when their deadline cannot be met", async () => {
    const timers = manualTimers();
    await using router = await temporaryRouter({ maxStreams: 1, maxQueue: 8, timers });
    const { worker: starting, releases } = stoppableWorker(router.address);
    await using worker = await starting;
    await listed(router, "w1");
    using client = rawClient(router.address);
    const first = client.call(requestFrame(textRequest("a")));
    await worker.received(1);
    timers.advance(2000);
    releases[0]!.end();
    await first;
    const second = client.call(requestFrame(textRequest("a")));
    await worker.received(2);
    const hurried = await client.call(requestFrame(textRequest("a")), { "grpc-timeout": "1S" });
    expect([hurried.status, hurried.message]).toEqual([String(Status.RESOURCE_EXHAUSTED), expect.stringContaining("deadline allows 1000 ms")]);
    releases[1]!.end();
    expect((await second).status).toBe("0");
  });
});

describe("a base model that is asked for more than its workers can do", () => {
  /** Two models with a worker each that runs one sequence, so that two requests of a model are sent on. */
  async function twoModels(queue: number, maxStreams?: number) {
    const router = await temporaryRouter({ maxQueue: queue, ...(maxStreams === undefined ? {} : { maxStreams }) });
    const start = async (model: string) => {
      const { worker, releases } = stoppableWorker(router.address, { name: `of-${model}`, model, capacity: { maxSequences: 1 } });
      return { worker: await worker, releases };
    };
    const [busy, free] = [await start("busy"), await start("free")];
    await listed(router, "of-busy", "of-free");
    const client = rawClient(router.address);
    const dispose = async () => {
      for (const { worker } of [busy, free]) await worker[Symbol.asyncDispose]();
      client[Symbol.dispose]();
      await router.close();
    };
    const requestOf = (model: string) => requestFrame({ ...textRequest("a"), model });
    return { busy, free, client, requestOf, [Symbol.asyncDispose]: dispose };
  }

  test.each([
    ["its queue is full", 4, 20, undefined],
    ["it has all places that a model may have", 1, 20, 1],
    ["none of its requests may wait", 0, 20, undefined],
  ])("holds back no request for another one, though %s", async (_, queue, count, maxStreams) => {
    await using fleet = await twoModels(queue, maxStreams);
    const { busy, free, client, requestOf } = fleet;
    const places = Math.min(2, maxStreams ?? 2);
    const flood: Promise<RawAnswer>[] = [];
    for (let sent = 0; sent < count; sent++) {
      flood.push(client.call(requestOf("busy")));
      await client.settled();
    }
    const refused = await Promise.race(flood);
    expect([refused.status, refused.message]).toEqual([String(Status.RESOURCE_EXHAUSTED), expect.stringContaining('"busy"')]);

    const other = client.call(requestOf("free"));
    await free.worker.received(1);
    free.releases[0]!.end();
    expect((await other).status).toBe("0");

    // What the busy one was sent or has waiting goes on as ever.
    for (let turn = 0; turn < places + queue; turn++) {
      await busy.worker.received(turn + 1);
      busy.releases[turn]!.end();
    }
    const ended = (await Promise.all(flood)).map(({ status }) => status);
    expect(ended.filter((status) => status === "0")).toHaveLength(places + queue);
    expect(ended.filter((status) => status === String(Status.RESOURCE_EXHAUSTED))).toHaveLength(count - places - queue);
  });
});

describe("a worker that fails again and again", () => {
  test("gets no requests for a while, then one, and is back when that ends well", async () => {
    const timers = manualTimers();
    let broken = true;
    await using router = await temporaryRouter({ timers, breakerFailures: 2, breakerOpenMillis: 1000 });
    const worker = (name: string, fails: () => boolean) =>
      startScriptedWorker({
        router: router.address,
        name,
        async *script() {
          yield delta("a", 1);
          if (fails()) throw new ServerError(Status.INTERNAL, "broken in mid-stream");
          yield finished(1);
        },
      });
    await using w1 = await worker("w1", () => broken);
    await using w2 = await worker("w2", () => false);
    await listed(router, "w1", "w2");
    using connection = inferenceClient(router.address);
    const pinned = { ...textRequest("a"), routing: { key: "", worker: "w1" } };
    for (let count = 0; count < 2; count++) expect((await hear(connection.client.generate(pinned))).error).toBeDefined();

    const keys = Array.from({ length: 20 }, (_, index) => ({ ...textRequest("a"), routing: { key: `key ${index}`, worker: "" } }));
    const ask = async () => {
      for (const request of keys) expect((await hear(connection.client.generate(request))).error).toBeUndefined();
    };
    const before = w1.calls.length;
    await ask();
    expect([w1.calls.length - before, w2.calls.length]).toEqual([0, keys.length]);
    timers.advance(1000);
    broken = false;
    await ask();
    await ask();
    expect(w1.calls.length - before).toBeGreaterThan(1);
  });
});
