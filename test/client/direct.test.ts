import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { WorkerState } from "@polygraft/api";
import { Polygraft } from "@polygraft/client";
import type { PolygraftOptions } from "@polygraft/client";
import { preferenceList, prepareFleet } from "@polygraft/placement";
import { decodeJwt } from "jose";
import { Status } from "nice-grpc";
import { ErrorInfo, RichServerError } from "nice-grpc-error-details";
import { describe, expect, test } from "vitest";
import { deferred } from "../support/deferred.js";
import { startGate } from "../support/gate.js";
import { inState, listed, temporaryRouter, unlisted } from "../support/router-fixture.js";
import { scriptedFleet } from "../support/scripted-fleet.js";
import { accepted, delta, finished, stuck } from "../support/scripted-service.js";
import type { Script } from "../support/scripted-service.js";
import { announcedAdapter, callerOf, startScriptedWorker } from "../support/scripted-worker.js";
import type { ScriptedWorkerOptions } from "../support/scripted-worker.js";
import { temporaryFolder } from "../support/temporary-folder.js";

const names = ["w1", "w2", "w3"] as const;
const [first = "", second = ""] = preferenceList(prepareFleet(names.map((name) => ({ name }))), "acme/a");

/** Says its name. */
const answer =
  (worker: string): Script =>
  async function* (request) {
    yield accepted(request.requestId);
    yield delta(worker, 1);
    yield finished(1);
  };

const refuse = (status: Status, reason: string): Script =>
  // oxlint-disable-next-line require-yield
  async function* () {
    throw new RichServerError(status, "refused by script", [ErrorInfo.fromPartial({ reason, domain: "polygraft" })]);
  };

const relayed = "router router-1";
const direct = "127.0.0.1";

/** A router with the three workers, those named playing their own scripts, and a client in direct mode. */
async function fleet(scripts: Readonly<Record<string, Script>> = {}, more: Partial<ScriptedWorkerOptions> = {}, options: PolygraftOptions = {}) {
  const members = names.map((name) => ({ name, script: scripts[name] ?? answer(name), ...more }));
  const scripted = await scriptedFleet(members, { heartbeatMillis: 200 });
  const client = new Polygraft({ address: scripted.router.address, direct: true, retry: false, ...options });
  return {
    ...scripted,
    client,
    /** Who called a worker, call by call. */
    callers: (name: string) => scripted.worker(name).calls.map(callerOf),
    generate: () => client.generate({ prompt: "x", adapter: "acme/a" }),
    async [Symbol.asyncDispose]() {
      client.close();
      await scripted[Symbol.asyncDispose]();
    },
  };
}

test("requests go straight to the workers that a router would choose", async () => {
  await using them = await fleet();
  await using plain = new Polygraft({ address: them.router.address });
  const before = new Map<string, number>();
  for (let index = 0; index < 20; index++) {
    const request = { prompt: "x", adapter: `acme/${index}` };
    const worker = await them.client.generate(request).text();
    expect(await plain.generate(request).text()).toBe(worker);
    before.set(worker, (before.get(worker) ?? 0) + 1);
  }
  expect(before.size).toBe(3);
  for (const name of names) {
    const callers = them.callers(name);
    expect(callers.filter((caller) => caller === direct)).toHaveLength(before.get(name)!);
    expect(callers.filter((caller) => caller === relayed)).toHaveLength(before.get(name)!);
  }
});

test("workers see the token, never the caller's key; and the tenant is that of the key", async () => {
  await using folder = await temporaryFolder();
  const apiKeysFile = join(folder.path, "keys");
  await writeFile(apiKeysFile, "key-1\nkey-2\n");
  await using router = await temporaryRouter({ apiKeysFile });
  await using worker = await startScriptedWorker({ router: router.address, name: "w1", apiKey: "key-1", script: answer("w1") });
  await listed(router, "w1");
  await using client = new Polygraft({ address: router.address, direct: true, apiKey: "key-2", headers: { "x-mine": "1" } });
  await client.generate({ prompt: "x" }, { headers: { authorization: "Bearer key-2" } }).text();
  const { metadata } = worker.calls[0]!.context;
  expect(decodeJwt(metadata.get("authorization")!.slice(7))).toMatchObject({ sub: expect.stringMatching(/^key /), tenant: expect.stringMatching(/^key /) });
  expect(metadata.get("x-mine")).toBe("1");
  await using stranger = new Polygraft({ address: router.address, direct: true });
  await expect(stranger.generate({ prompt: "x" }).text()).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
  expect(worker.calls).toHaveLength(1);
});

describe("a request goes through the router", () => {
  test("when its worker cannot be reached from here, and stays with that worker", async () => {
    await using them = await fleet();
    await using plain = new Polygraft({ address: them.router.address });
    await plain.generate({ prompt: "x", adapter: "acme/a" }).text();
    // The router has its connection; nobody gets another one.
    them.worker(first).shut();
    for (let count = 0; count < 3; count++) expect(await them.generate().text()).toBe(first);
    expect(them.callers(first)).toEqual([relayed, relayed, relayed, relayed]);
  });

  test("when its worker has as many requests as it runs at once", async () => {
    await using them = await fleet({}, { capacity: { maxSequences: 2 } });
    them.worker(first).load({ runningRequests: 2, waitingRequests: 0, inFlightTokens: 10 });
    const states = them.client.fleet.watch()[Symbol.asyncIterator]();
    while ((await states.next()).value?.workers.find(({ name }) => name === first)?.load?.runningRequests !== 2);
    await states.return?.(undefined);
    for (const name of names) if (name !== first) them.worker(name).load({ runningRequests: 2, waitingRequests: 0, inFlightTokens: 10 });
    while (!names.every((name) => them.router.fleet.member(name)?.full)) await new Promise((resolve) => setTimeout(resolve, 5));
    await them.generate().text();
    expect(names.flatMap((name) => them.callers(name))).toEqual([relayed]);
  });

  test("while others wait at the router", async () => {
    const release = deferred();
    const slow: Script = async function* (request, context) {
      yield accepted(request.requestId);
      await release.promise;
      yield* answer(first)(request, context);
    };
    await using router = await temporaryRouter({ maxStreams: 1 });
    await using worker = await startScriptedWorker({ router: router.address, name: first, script: slow });
    await listed(router, first);
    await using plain = new Polygraft({ address: router.address });
    const running = [plain.generate({ prompt: "1" }), plain.generate({ prompt: "2" })].map((generation) => generation.text());
    await worker.received(1);
    // Answered on the same connection, so that the router has the second one in its queue by then.
    await plain.adapters.list().next();
    await using client = new Polygraft({ address: router.address, direct: true });
    const straight = client.generate({ prompt: "x" });
    await client.adapters.list().next();
    release.resolve();
    expect(await Promise.all([...running, straight.text()])).toEqual([first, first, first]);
    expect(worker.calls.map(callerOf)).toEqual([relayed, relayed, relayed]);
  });

  test("when a worker takes no token, the second included", async () => {
    const seen: string[] = [];
    const picky: Script = async function* (request, context) {
      const token = context.metadata.get("authorization") ?? "";
      if (decodeJwt(token.slice(7)).sub === relayed) return yield* answer(first)(request, context);
      seen.push(token);
      yield* refuse(Status.UNAUTHENTICATED, "UNAUTHENTICATED")(request, context);
    };
    await using them = await fleet({ [first]: picky });
    expect(await them.generate().text()).toBe(first);
    expect(them.callers(first)).toEqual([direct, direct, relayed]);
    expect(new Set(seen).size).toBe(2);
  });

  test("after its worker has answered badly five times in a row", async () => {
    const broken = refuse(Status.INTERNAL, "INTERNAL");
    await using them = await fleet({ [first]: broken });
    for (let count = 0; count < 6; count++) await expect(them.generate().text()).rejects.toMatchObject({ code: "INTERNAL" });
    expect(them.callers(first)).toEqual([direct, direct, direct, direct, direct, relayed]);
  });

  test("when its router is one worker, which tells of no fleet", async () => {
    await using them = await fleet();
    await using client = new Polygraft({ address: them.worker("w2").address, direct: true });
    expect(await client.generate({ prompt: "x", adapter: "acme/a" }).text()).toBe("w2");
  });

  test.each([
    ["begun to leave", false],
    ["left, and another process has come in its place", true],
  ])("when its worker has %s by the time that there is a connection", async (_, replaced) => {
    using gate = await startGate();
    await using router = await temporaryRouter();
    const options = { router: router.address, name: first, address: gate.address };
    await using worker = await startScriptedWorker({ ...options, epoch: "1", script: answer("worker") });
    await listed(router, first);
    await using client = new Polygraft({ address: router.address, direct: true, retry: false });
    const text = client.generate({ prompt: "x", adapter: "acme/a" }).text();
    await gate.knocked;
    await using successor = replaced ? await startScriptedWorker({ ...options, epoch: "2", script: answer("successor") }) : undefined;
    if (successor === undefined) worker.say({ $case: "draining", value: { reason: "test" } });
    await (successor === undefined ? inState(router, WorkerState.DRAINING, first) : worker.expelled);
    // Who knows of a worker that comes later knows of that as well.
    await using later = await startScriptedWorker({ router: router.address, name: second, script: answer(second) });
    await listed(router, second);
    const atLater = { prompt: "x", routing: { worker: second } };
    while (!later.calls.map(callerOf).includes(direct)) await client.generate(atLater).text();
    gate.open((successor ?? worker).port);
    expect(await text).toBe(replaced ? "successor" : second);
    expect([...worker.calls, ...(successor?.calls ?? [])].map(callerOf)).not.toContain(direct);
  });

  test("when there is something to be refused, so that errors are the same", async () => {
    await using them = await fleet();
    await expect(them.client.generate({ prompt: "x", model: "none" }).text()).rejects.toMatchObject({ code: "MODEL_NOT_FOUND" });
    const pinned = { prompt: "x", routing: { worker: "none" } };
    await expect(them.client.generate(pinned).text()).rejects.toMatchObject({ code: "NO_WORKER" });
  });
});

test("a worker that was refused a token, and then takes one, is not left", async () => {
  let refusals = 0;
  const once: Script = async function* (request, context) {
    if (refusals++ === 0) yield* refuse(Status.UNAUTHENTICATED, "UNAUTHENTICATED")(request, context);
    yield* answer(first)(request, context);
  };
  await using them = await fleet({ [first]: once });
  expect(await them.generate().text()).toBe(first);
  expect(them.callers(first)).toEqual([direct, direct]);
});

describe("another worker goes on, straight, when one", () => {
  /** What comes after the first token. */
  const rest: Script = async function* (request) {
    yield accepted(request.requestId);
    yield delta(`after ${request.resume?.tokenIds.join()}`, 2);
    yield finished(2);
  };

  test("is lost in mid-stream", async () => {
    await using them = await fleet({ [first]: stuck, [second]: rest });
    let text = "";
    for await (const piece of them.generate().textStream()) {
      text += piece;
      them.worker(first).cut();
    }
    expect(text).toBe("one after 1");
    expect(them.callers(second)).toEqual([direct]);
  });

  test("is suspected by the router, though its connection stands", async () => {
    await using them = await fleet({ [first]: stuck, [second]: rest });
    them.worker(first).load({ inFlightTokens: 5 });
    let text = "";
    for await (const piece of them.generate().textStream()) {
      text += piece;
      them.worker(first).freeze();
      for (const name of names) if (name !== first) them.router.fleet.member(name)!.heardAt = 1e12;
      them.router.fleet.sweep(1e12, { suspectAfterMillis: 1, goneAfterMillis: 1e15, wedgedAfterMillis: 1e15 });
    }
    expect(text).toBe("one after 1");
    expect(them.callers(second)).toEqual([direct]);
  });

  test.each([
    ["QUEUE_FULL", Status.RESOURCE_EXHAUSTED, direct],
    ["ADAPTER_MEMORY_FULL", Status.RESOURCE_EXHAUSTED, direct],
    ["DRAINING", Status.UNAVAILABLE, relayed],
  ])("says %s", async (reason, status, caller) => {
    await using them = await fleet({ [first]: refuse(status, reason), [second]: answer(second) });
    expect(await them.generate().text()).toBe(second);
    expect(them.callers(second)).toEqual([caller]);
  });

  test("unless the request forbids it", async () => {
    await using them = await fleet({ [first]: stuck, [second]: rest });
    const generation = them.client.generate({ prompt: "x", adapter: "acme/a", routing: { failover: false } });
    const read = (async () => {
      for await (const _ of generation.textStream()) them.worker(first).cut();
    })();
    await expect(read).rejects.toMatchObject({ status: "UNAVAILABLE" });
    expect(them.callers(second)).toEqual([]);
  });
});

test("when three workers have refused, the router has the last word", async () => {
  const full = refuse(Status.RESOURCE_EXHAUSTED, "QUEUE_FULL");
  await using them = await fleet({ w1: full, w2: full, w3: full });
  await expect(them.generate().text()).rejects.toMatchObject({ code: "QUEUE_FULL" });
  expect(names.flatMap((name) => them.callers(name)).sort()).toEqual([direct, direct, direct, relayed]);
});

test("a failure that is about the request is not sent around", async () => {
  await using them = await fleet({ [first]: refuse(Status.NOT_FOUND, "ADAPTER_NOT_FOUND") });
  await expect(them.generate().text()).rejects.toMatchObject({ code: "ADAPTER_NOT_FOUND" });
  expect(names.flatMap((name) => them.callers(name))).toEqual([direct]);
});

test("the fleet is followed: who joins takes over, who drains or leaves is left alone", async () => {
  await using them = await fleet();
  expect(await them.generate().text()).toBe(first);
  them.worker(first).say({ $case: "draining", value: { reason: "test" } });
  const text = async (wanted: string) => {
    // The news is on its way.
    while ((await them.generate().text()) !== wanted);
  };
  await text(second);
  them.worker(second).leave();
  await unlisted(them.router, second);
  const third = names.find((name) => name !== first && name !== second)!;
  await text(third);
  await using again = await startScriptedWorker({ router: them.router.address, name: first, epoch: "2", script: answer("again") });
  await text("again");
  expect(again.calls.map(callerOf)).toContain(direct);
});

test("an adapter that only some workers have goes to one of them", async () => {
  await using them = await fleet();
  const third = names.find((name) => name !== first && name !== second)!;
  const adapters = [announcedAdapter("acme/a")];
  them.worker(third).say({ $case: "residency", value: { snapshot: false, complete: true, adapters, removedIds: [] } });
  while ((await them.generate().text()) !== third);
  expect(them.callers(third)).toContain(direct);
});

test("streams go on while the router is away, for as long as a token lives", async () => {
  await using them = await fleet();
  expect(await them.generate().text()).toBe(first);
  await them.router.close();
  expect(await them.generate().text()).toBe(first);
  expect(them.callers(first)).toEqual([direct, direct]);
});

test("of several routers the next one is followed when one is lost", async () => {
  await using other = await temporaryRouter({ name: "router-2" });
  await using them = await fleet();
  await using joined = await startScriptedWorker({ router: other.address, name: "w9", script: answer("w9") });
  await listed(other, "w9");
  await using client = new Polygraft({ address: [them.router.address, other.address], direct: true });
  expect(await client.generate({ prompt: "x", adapter: "acme/a" }).text()).toBe(first);
  await them.router.close();
  while ((await client.generate({ prompt: "x", adapter: "acme/a" }).text()) !== "w9");
  while (!joined.calls.map(callerOf).includes(direct)) await client.generate({ prompt: "x", adapter: "acme/a" }).text();
});

test("a client that has connected knows the fleet", async () => {
  await using them = await fleet();
  await them.client.connect();
  await them.router.close();
  expect(await them.client.generate({ prompt: "x" }).text()).toMatch(/^w[123]$/);
});

test("the deadline holds while the fleet is not known yet", async () => {
  await using them = await fleet({ [first]: stuck });
  const generation = them.client.generate({ prompt: "x", adapter: "acme/a" }, { timeoutMs: 300 });
  await expect(generation.text()).rejects.toMatchObject({ status: "DEADLINE_EXCEEDED" });
});

test("leaving a stream reaches the worker, and closing the client ends everything", async () => {
  const cancelled = deferred();
  const script: Script = async function* (request, context) {
    context.signal.addEventListener("abort", () => cancelled.resolve());
    yield* stuck(request, context);
  };
  await using them = await fleet({ [first]: script, [second]: stuck });
  for await (const _ of them.generate().textStream()) break;
  await cancelled.promise;
  const open = them.client.generate({ prompt: "x", routing: { worker: second } });
  await open.accepted;
  them.client.close();
  await expect(open.text()).rejects.toMatchObject({ code: "CLIENT_CLOSED" });
  await expect(them.generate().text()).rejects.toMatchObject({ code: "CLIENT_CLOSED" });
});
