import { LoadSample, WorkerState } from "@polygraft/api";
import type { GenerateResponse } from "@polygraft/api";
import { preferenceList, prepareFleet } from "@polygraft/placement";
import { Status } from "nice-grpc";
import { ErrorInfo, RetryInfo, RichClientError, RichServerError } from "nice-grpc-error-details";
import type { ErrorDetails } from "nice-grpc-error-details";
import { describe, expect, test } from "vitest";
import { manualTimers } from "../support/manual-timers.js";
import { errorInfo, hear, inferenceClient, listed, servedBy, temporaryRouter, textRequest } from "../support/router-fixture.js";
import { scriptedFleet } from "../support/scripted-fleet.js";
import { delta, finished } from "../support/scripted-service.js";
import type { Message, Script } from "../support/scripted-service.js";
import { announcedAdapter, startScriptedWorker } from "../support/scripted-worker.js";

const adapter = "acme/support";
const names = ["w1", "w2", "w3", "w4"] as const;

/** The workers in the order in which they are preferred for the adapter. */
const [first = "", second = "", third = "", fourth = ""] = preferenceList(
  prepareFleet(names.map((name) => ({ name }))),
  adapter,
);

const acceptedBy = (worker: string): Message => ({
  event: { $case: "accepted", value: { requestId: "", worker, model: "tiny", promptTokens: 1 } },
});

/** Accepts, says its name, ends. */
const answer =
  (worker: string): Script =>
  async function* () {
    yield acceptedBy(worker);
    yield delta(worker, 1);
    yield finished(1);
  };

/** Refuses with this status and reason. */
const refuse = (status: Status, reason?: string, ...more: ErrorDetails[]): Script =>
  // oxlint-disable-next-line require-yield
  async function* () {
    const info = reason === undefined ? [] : [ErrorInfo.fromPartial({ reason, domain: "polygraft" })];
    throw new RichServerError(status, "refused by script", [...info, ...more]);
  };

/** Accepts, then waits until its call is cancelled or its connection cut. */
const hang =
  (worker: string): Script =>
  async function* (_, { signal }) {
    yield acceptedBy(worker);
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  };

/** A router with all four workers, those named playing their own scripts, all others answering. */
async function fleet(scripts: Readonly<Record<string, Script>>, addresses: Readonly<Record<string, string>> = {}) {
  const members = names.map((name) => {
    const member = { name, script: scripts[name] ?? answer(name), adapters: [announcedAdapter(adapter)] };
    const address = addresses[name];
    return address === undefined ? member : { ...member, address };
  });
  const scripted = await scriptedFleet(members);
  const { client, ...connection } = inferenceClient(scripted.router.address);
  return {
    ...scripted,
    client,
    async [Symbol.asyncDispose]() {
      connection[Symbol.dispose]();
      await scripted[Symbol.asyncDispose]();
    },
  };
}

describe("before the first output", () => {
  test("a worker that is cut off is replaced by the next preferred one, and the client sees only that one", async () => {
    await using f = await fleet({ [first]: hang(first) });
    const hearing = hear(f.client.generate(textRequest("hi", adapter)));
    await f.worker(first).received(1);
    f.worker(first).cut();
    const heard = await hearing;
    expect(heard.error).toBeUndefined();
    expect(heard.events.map(({ event }) => event?.$case)).toEqual(["accepted", "delta", "finished"]);
    expect([servedBy(heard), heard.text]).toEqual([second, second]);
    expect(f.called()).toEqual([first, second].sort());
  });

  test("nobody listening at the worker's address", async () => {
    await using f = await fleet({}, { [first]: "127.0.0.1:1" });
    const heard = await hear(f.client.generate(textRequest("hi", adapter)));
    expect([heard.error, servedBy(heard)]).toEqual([undefined, second]);
  });

  test.each([
    ["UNAVAILABLE", refuse(Status.UNAVAILABLE)],
    ["UNAVAILABLE DRAINING", refuse(Status.UNAVAILABLE, "DRAINING")],
    ["RESOURCE_EXHAUSTED QUEUE_FULL", refuse(Status.RESOURCE_EXHAUSTED, "QUEUE_FULL")],
    ["RESOURCE_EXHAUSTED ADAPTER_MEMORY_FULL", refuse(Status.RESOURCE_EXHAUSTED, "ADAPTER_MEMORY_FULL")],
  ])("%s goes on to the next", async (_, script) => {
    await using f = await fleet({ [first]: script, [second]: script });
    const heard = await hear(f.client.generate(textRequest("hi", adapter)));
    expect([heard.error, servedBy(heard)]).toEqual([undefined, third]);
  });

  test("a refusal after `accepted` goes on as well", async () => {
    const late: Script = async function* () {
      yield acceptedBy(first);
      throw new RichServerError(Status.UNAVAILABLE, "going down", []);
    };
    await using f = await fleet({ [first]: late });
    const heard = await hear(f.client.generate(textRequest("hi", adapter)));
    expect(heard.events.map(({ event }) => event?.$case)).toEqual(["accepted", "delta", "finished"]);
    expect(servedBy(heard)).toBe(second);
  });

  test.each([
    [Status.NOT_FOUND, "ADAPTER_NOT_FOUND"],
    [Status.INVALID_ARGUMENT, "INVALID_FIELD"],
    [Status.FAILED_PRECONDITION, "ADAPTER_INCOMPATIBLE"],
    [Status.UNAVAILABLE, "ADAPTER_NOT_READY"],
    [Status.RESOURCE_EXHAUSTED, undefined],
    [Status.DATA_LOSS, "ADAPTER_CORRUPT"],
    [Status.INTERNAL, "INTERNAL"],
  ] as const)("status %i %s is the request's, and passes through with its details", async (status, reason) => {
    await using f = await fleet({ [first]: refuse(status, reason) });
    const { error, events } = await hear(f.client.generate(textRequest("hi", adapter)));
    expect(error).toMatchObject({ code: status, details: "refused by script" });
    expect(errorInfo(error)?.reason).toBe(reason);
    expect(events).toEqual([]);
    expect(f.called()).toEqual([first]);
  });

  test("at most three workers, and the last one's refusal is the answer", async () => {
    const retry = RetryInfo.fromPartial({ retryDelay: { seconds: 2 } });
    const full = refuse(Status.RESOURCE_EXHAUSTED, "QUEUE_FULL", retry);
    await using f = await fleet({ [first]: full, [second]: full, [third]: full });
    const { error } = await hear(f.client.generate(textRequest("hi", adapter)));
    expect(error).toMatchObject({ code: Status.RESOURCE_EXHAUSTED });
    expect(errorInfo(error)?.reason).toBe("QUEUE_FULL");
    const details = error instanceof RichClientError ? error.extra : [];
    expect(details.find(({ $type }) => $type === RetryInfo.$type)).toMatchObject({ retryDelay: { seconds: 2 } });
    expect(f.called()).toEqual([first, second, third].sort());
    expect([first, second, third].map((name) => f.worker(name).calls.length)).toEqual([1, 1, 1]);
    expect(f.worker(fourth).calls).toHaveLength(0);
  });

  test("all lost is NO_WORKER, naming those tried", async () => {
    await using f = await fleet({ [first]: hang(first), [second]: hang(second), [third]: hang(third) });
    const hearing = hear(f.client.generate(textRequest("hi", adapter)));
    for (const name of [first, second, third]) {
      await f.worker(name).received(1);
      f.worker(name).cut();
    }
    const { error } = await hearing;
    expect(error).toMatchObject({ code: Status.UNAVAILABLE });
    expect(errorInfo(error)).toEqual({ reason: "NO_WORKER", metadata: { tried: [first, second, third].join(", ") } });
  });

  test("failover: false stays with the first worker", async () => {
    await using f = await fleet({ [first]: refuse(Status.UNAVAILABLE, "DRAINING") });
    const routing = { key: "", worker: "", failover: false };
    const { error } = await hear(f.client.generate({ ...textRequest("hi", adapter), routing }));
    expect(errorInfo(error)?.reason).toBe("DRAINING");
    expect(f.called()).toEqual([first]);
  });

  test("a pinned worker serves or nobody does", async () => {
    await using f = await fleet({ [first]: refuse(Status.UNAVAILABLE, "DRAINING") });
    const pin = (worker: string) => ({ ...textRequest("hi", adapter), routing: { key: "", worker } });
    expect(servedBy(await hear(f.client.generate(pin(fourth))))).toBe(fourth);
    expect(errorInfo((await hear(f.client.generate(pin(first)))).error)?.reason).toBe("DRAINING");
    expect(errorInfo((await hear(f.client.generate(pin("nobody")))).error)?.reason).toBe("NO_WORKER");
  });
});

/** Accepts, says these texts with tokens from `from` on, then waits until its call is cancelled or cut. */
const stuck = (worker: string, texts: readonly string[], from = 1): Script =>
  async function* (_, { signal }) {
    yield acceptedBy(worker);
    for (const [index, text] of texts.entries()) yield delta(text, from + index);
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  };

/** Goes on from the resume point: says `text`, ends. */
const goesOn = (worker: string, text: string): Script =>
  async function* ({ resume }) {
    yield acceptedBy(worker);
    yield delta(text, (resume?.tokenIds.length ?? 0) + 1);
    yield finished((resume?.tokenIds.length ?? 0) + 1);
  };

/** Reads a stream; `onText` sees each delta's text as it comes. */
async function follow(stream: AsyncIterable<GenerateResponse>, onText: (text: string) => void) {
  const heard = hear(
    (async function* () {
      for await (const response of stream) {
        yield response;
        if (response.event?.$case === "delta") onText(response.event.value.text);
      }
    })(),
  );
  return heard;
}

describe("after the first output", () => {
  test("the next preferred worker goes on where a lost one was, and the client sees one stream", async () => {
    await using f = await fleet({ [first]: stuck(first, ["one", "two"]), [second]: goesOn(second, "three") });
    const request = { ...textRequest("hi", adapter), sampling: { temperature: 1 } };
    const heard = await follow(f.client.generate(request), (text) => text === "two" && f.worker(first).cut());
    expect([heard.error, heard.text]).toEqual([undefined, "onetwothree"]);
    expect(heard.events.map(({ event }) => event?.$case)).toEqual(["accepted", "delta", "delta", "delta", "finished"]);
    const tokens = heard.events.flatMap(({ event }) => (event?.$case === "delta" ? event.value.tokenIds : []));
    expect(tokens).toEqual([1, 2, 3]);
    const { request: resumed } = f.worker(second).calls[0]!;
    expect(resumed.resume).toEqual({ tokenIds: [1, 2], textBytes: 6 });
    expect(resumed.sampling).toMatchObject({ temperature: 1, seed: 0n });
    expect(resumed.requestId).toBe(f.worker(first).calls[0]!.request.requestId);
  });

  test("a worker that refuses in mid-stream to finish is replaced as well, and so is one that will not go on", async () => {
    const drains: Script = async function* () {
      yield acceptedBy(first);
      yield delta("one", 1);
      throw new RichServerError(Status.UNAVAILABLE, "draining", [ErrorInfo.fromPartial({ reason: "DRAINING", domain: "polygraft" })]);
    };
    await using f = await fleet({
      [first]: drains,
      [second]: refuse(Status.NOT_FOUND, "ADAPTER_NOT_FOUND"),
      [third]: goesOn(third, "two"),
    });
    const heard = await hear(f.client.generate(textRequest("hi", adapter)));
    expect([heard.error, heard.text]).toEqual([undefined, "onetwo"]);
    expect(f.called()).toEqual([first, second, third].sort());
  });

  test("each worker that brings output earns the stream another three tries", async () => {
    await using f = await fleet({
      [first]: stuck(first, ["one"], 1),
      [second]: stuck(second, ["two"], 2),
      [third]: stuck(third, ["three"], 3),
      [fourth]: goesOn(fourth, "four"),
    });
    const losing: Record<string, string> = { one: first, two: second, three: third };
    const heard = await follow(f.client.generate(textRequest("hi", adapter)), (text) => {
      if (losing[text] !== undefined) f.worker(losing[text]).cut();
    });
    expect([heard.error, heard.text]).toEqual([undefined, "onetwothreefour"]);
    expect(f.worker(fourth).calls[0]!.request.resume?.tokenIds).toEqual([1, 2, 3]);
  });

  test.each([
    ["failover: false", { routing: { key: "", worker: "", failover: false } }],
    ["a pinned worker", { routing: { key: "", worker: first } }],
    ["no token ids in the stream", { response: { tokenIds: false } }],
  ])("%s: a lost worker ends the stream with WORKER_LOST, naming it, after the last whole message", async (_, more) => {
    await using f = await fleet({ [first]: stuck(first, ["one", "two"]) });
    const request = { ...textRequest("hi", adapter), ...more };
    const heard = await follow(f.client.generate(request), (text) => text === "two" && f.worker(first).cut());
    expect(heard.text).toBe("onetwo");
    expect(heard.error).toMatchObject({ code: Status.UNAVAILABLE });
    expect(errorInfo(heard.error)).toEqual({ reason: "WORKER_LOST", metadata: { worker: first } });
    expect(f.called()).toEqual([first]);
  });

  test("a status that is the request's passes through", async () => {
    const fails: Script = async function* () {
      yield acceptedBy(first);
      yield delta("one", 1);
      throw new RichServerError(Status.INTERNAL, "a bug", [ErrorInfo.fromPartial({ reason: "INTERNAL", domain: "polygraft" })]);
    };
    await using f = await fleet({ [first]: fails });
    const heard = await hear(f.client.generate(textRequest("hi", adapter)));
    expect(heard.text).toBe("one");
    expect(errorInfo(heard.error)?.reason).toBe("INTERNAL");
    expect(f.called()).toEqual([first]);
  });

  test("a worker that is silent with requests in flight is given up before its connection is known to be dead", async () => {
    const timers = manualTimers();
    await using router = await temporaryRouter({ timers, suspectAfterMillis: 3000, goneAfterMillis: 15_000 });
    const adapters = [announcedAdapter(adapter)];
    await using w1 = await startScriptedWorker({ router: router.address, name: first, script: stuck(first, ["one"]), adapters });
    await using _w2 = await startScriptedWorker({ router: router.address, name: second, script: goesOn(second, "two"), adapters });
    await listed(router, first, second);
    using connection = inferenceClient(router.address);
    const heard = await follow(connection.client.generate(textRequest("hi", adapter)), (text) => {
      if (text !== "one") return;
      w1.freeze();
      // The other one is heard of; this one is not.
      router.fleet.load(router.fleet.member(second)!, LoadSample.create(), 3400);
      timers.advance(3500);
    });
    expect([heard.error, heard.text]).toEqual([undefined, "onetwo"]);
    expect(router.fleet.member(first)?.state).toBe(WorkerState.SUSPECTED);
  });

  test("a worker that beats but takes no step with requests in flight is given up as well", async () => {
    const timers = manualTimers();
    await using router = await temporaryRouter({ timers, wedgedAfterMillis: 8000 });
    const adapters = [announcedAdapter(adapter)];
    await using _w1 = await startScriptedWorker({ router: router.address, name: first, script: stuck(first, ["one"]), adapters });
    await using _w2 = await startScriptedWorker({ router: router.address, name: second, script: goesOn(second, "two"), adapters });
    await listed(router, first, second);
    using connection = inferenceClient(router.address);
    const beat = () => {
      const busy = LoadSample.fromPartial({ steps: 3n, inFlightTokens: 20 });
      router.fleet.load(router.fleet.member(first)!, busy, timers.now());
    };
    const heard = await follow(connection.client.generate(textRequest("hi", adapter)), (text) => {
      if (text !== "one") return;
      for (let second = 0; second < 9; second++) {
        beat();
        timers.advance(1000);
      }
    });
    expect([heard.error, heard.text]).toEqual([undefined, "onetwo"]);
    expect(router.fleet.member(first)).toMatchObject({ state: WorkerState.SUSPECTED, wedged: true });
  });
});
