import { once } from "node:events";
import { InferenceServiceDefinition, Tier } from "@polygraft/api";
import type { Adapter, LoadSample } from "@polygraft/api";
import { preferenceList, prepareFleet } from "@polygraft/placement";
import { compressionAlgorithms } from "@grpc/grpc-js";
import { createChannel, createClient, Metadata, Status } from "nice-grpc";
import { describe, expect, test } from "vitest";
import type { Router } from "../../src/router/index.js";
import { deferred } from "../support/deferred.js";
import { manualTimers } from "../support/manual-timers.js";
import { rawClient, readAnswer, requestFrame } from "../support/raw-grpc.js";
import { rawWorker } from "../support/raw-worker.js";
import {
  errorInfo,
  hear,
  inferenceClient,
  listed,
  servedBy,
  temporaryRouter,
  textOf,
  textRequest,
} from "../support/router-fixture.js";
import type { Message, Script } from "../support/scripted-service.js";
import { delta, finished } from "../support/scripted-service.js";
import { announcedAdapter, startScriptedWorker } from "../support/scripted-worker.js";
import type { ScriptedWorker } from "../support/scripted-worker.js";

const acceptedBy = (worker: string, requestId = ""): Message => ({
  event: { $case: "accepted", value: { requestId, worker, model: "tiny", promptTokens: 1 } },
});

/** Says the prompt in reverse, letter by letter. */
const reverser =
  (worker: string): Script =>
  async function* (request) {
    yield acceptedBy(worker, request.requestId);
    const text = request.prompt?.$case === "text" ? request.prompt.value : "";
    const letters = [...text].reverse();
    for (const [index, letter] of letters.entries()) yield delta(letter, index);
    yield finished(letters.length);
  };

const reversed = (text: string) => [...text].reverse().join("");

describe("a plain generated client", () => {
  test("is served as if the router were a worker", async () => {
    await using router = await temporaryRouter();
    await using worker = await startScriptedWorker({ router: router.address, name: "w1", script: reverser("w1") });
    await listed(router, "w1");
    using connection = inferenceClient(router.address);
    const heard = await hear(connection.client.generate(textRequest("abc")));
    expect(heard.error).toBeUndefined();
    expect(heard.events.map(({ event }) => event?.$case)).toEqual(["accepted", "delta", "delta", "delta", "finished"]);
    expect([servedBy(heard), heard.text]).toEqual(["w1", "cba"]);
    expect(worker.calls).toHaveLength(1);
  });

  test("may compress its requests", async () => {
    await using router = await temporaryRouter();
    await using worker = await startScriptedWorker({ router: router.address, name: "w1", script: reverser("w1") });
    await listed(router, "w1");
    const options = { "grpc.default_compression_algorithm": compressionAlgorithms.gzip };
    const channel = createChannel(router.address, undefined, options);
    const text = "ab".repeat(300);
    const heard = await hear(createClient(InferenceServiceDefinition, channel).generate(textRequest(text)));
    channel.close();
    expect([heard.error, heard.text]).toEqual([undefined, reversed(text)]);
    expect(worker.calls[0]?.request.requestId).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("may send 3 MiB, and is told the limit above 4 MiB", async () => {
    await using router = await temporaryRouter();
    await using worker = await startScriptedWorker({ router: router.address, name: "w1", script: reverser("w1") });
    await listed(router, "w1");
    using connection = inferenceClient(router.address);
    const ids = (count: number) => ({ prompt: { $case: "tokenIds" as const, value: { ids: Array.from({ length: count }, () => 300) } } });
    expect((await hear(connection.client.generate(ids(1_500_000)))).error).toBeUndefined();
    const { error } = await hear(connection.client.generate(ids(2_200_000)));
    expect(error).toMatchObject({ code: Status.RESOURCE_EXHAUSTED, details: expect.stringContaining("4194304 bytes") });
    expect(worker.calls).toHaveLength(1);
  });

  test("64 streams at once over 3 workers, each as if it were alone", async () => {
    await using router = await temporaryRouter();
    const workers = await Promise.all(
      ["w1", "w2", "w3"].map((name) => startScriptedWorker({ router: router.address, name, script: reverser(name) })),
    );
    await listed(router, "w1", "w2", "w3");
    using connection = inferenceClient(router.address);
    const prompts = Array.from({ length: 64 }, (_, index) => `prompt number ${index} with some letters`);
    const heard = await Promise.all(
      prompts.map((prompt, index) => {
        // Few enough tokens in all that no worker comes near its load bound.
        const stopping = { maxTokens: 10, stopTexts: [], stopTokenIds: [] };
        return hear(connection.client.generate({ ...textRequest(prompt, `adapter-${index % 8}`), stopping }));
      }),
    );
    expect(heard.map(({ text }) => text)).toEqual(prompts.map(reversed));
    const serving = heard.map(servedBy);
    for (const [index, name] of serving.entries()) expect(name).toBe(serving[index % 8]);
    expect(new Set(serving).size).toBeGreaterThan(1);
    for (const worker of workers) await worker[Symbol.asyncDispose]();
  });
});

describe("what a worker sees", () => {
  test("metadata and trace context as the client sent them, but no credentials; what is left of the deadline", async () => {
    await using router = await temporaryRouter();
    await using worker = await startScriptedWorker({ router: router.address, name: "w1", script: reverser("w1") });
    await listed(router, "w1");
    using connection = inferenceClient(router.address);
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const metadata = Metadata({ traceparent, "x-custom": ["a", "b"], "x-bytes-bin": new Uint8Array([0, 255]) });
    metadata.set("authorization", "Bearer secret");
    await hear(connection.client.generate({ ...textRequest("a"), requestId: "mine" }, { metadata }));
    const seen = worker.calls[0]!;
    expect(seen.request.requestId).toBe("mine");
    expect(seen.context.metadata.get("traceparent")).toBe(traceparent);
    expect(seen.context.metadata.getAll("x-custom").join(", ")).toBe("a, b");
    expect(seen.context.metadata.get("x-bytes-bin")).toEqual(Buffer.from([0, 255]));
    expect(seen.context.metadata.get("authorization")).not.toContain("secret");
  });
});

describe("what a client sees", () => {
  test("the worker's name, and why it was chosen if asked", async () => {
    await using router = await temporaryRouter();
    const adapters = [announcedAdapter("acme/a")];
    await using w1 = await startScriptedWorker({ router: router.address, name: "w1", adapters, script: reverser("w1") });
    await using w2 = await startScriptedWorker({ router: router.address, name: "w2", adapters, script: reverser("w2") });
    await listed(router, w1.name, w2.name);
    using connection = inferenceClient(router.address);
    const header = deferred<Metadata>();
    const request = { ...textRequest("a", "acme/a"), routing: { key: "", worker: "", explain: true } };
    const heard = await hear(connection.client.generate(request, { onHeader: header.resolve }));
    const headers = await header.promise;
    expect(headers.get("polygraft-worker")).toBe(servedBy(heard));
    expect(headers.get("polygraft-placement")).toBe("preferred");
    expect(headers.get("polygraft-candidates")?.split(",").sort()).toEqual(["w1", "w2"]);
    expect(headers.get("polygraft-candidates")?.split(",")[0]).toBe(servedBy(heard));
  });
});

describe("placement", () => {
  test("only workers that announced the adapter, and any if nobody has", async () => {
    await using router = await temporaryRouter();
    const script = (name: string) => ({ router: router.address, name, script: reverser(name) });
    await using w1 = await startScriptedWorker(script("w1"));
    await using w2 = await startScriptedWorker({ ...script("w2"), adapters: [announcedAdapter("only-w2")] });
    await using w3 = await startScriptedWorker(script("w3"));
    await listed(router, w1.name, w2.name, w3.name);
    using connection = inferenceClient(router.address);
    const serve = async (adapter: string, key: string) =>
      servedBy(await hear(connection.client.generate({ ...textRequest("a", adapter), routing: { key, worker: "" } })));
    const keys = Array.from({ length: 12 }, (_, index) => `key-${index}`);
    const announced = new Set(await Promise.all(keys.map((key) => serve("only-w2", key))));
    expect([...announced]).toEqual(["w2"]);
    const unknown = new Set(await Promise.all(keys.map((key) => serve("unheard-of", key))));
    expect([...unknown].sort()).toEqual(["w1", "w2", "w3"]);
  });

  test("base requests go where the fewest tokens are in flight", async () => {
    await using router = await temporaryRouter();
    await using w1 = await startScriptedWorker({ router: router.address, name: "w1", script: reverser("w1") });
    await using w2 = await startScriptedWorker({ router: router.address, name: "w2", script: reverser("w2") });
    await listed(router, "w1", "w2");
    using connection = inferenceClient(router.address);
    for (const [busy, idle] of [[w1, w2] as const, [w2, w1] as const]) {
      await Promise.all([sampled(busy, 100_000), sampled(idle, 0)]);
      expect(servedBy(await hear(connection.client.generate(textRequest("a"))))).toBe(idle.name);
    }

    async function sampled(worker: ScriptedWorker, inFlightTokens: number) {
      await taken(router, worker, { inFlightTokens });
    }
  });

  test("an adapter whose load fills more than one worker leaves the first one earlier than others do", async () => {
    await using router = await temporaryRouter({ placement: { floorTokens: 100 } });
    const held = (id: string, references: number) => {
      const adapter = announcedAdapter(id, { tier: Tier.DEVICE });
      return { ...adapter, residency: adapter.residency.map((residency) => ({ ...residency, references })) };
    };
    const names = ["w1", "w2"];
    const fleet = prepareFleet(names.map((name) => ({ name })));
    const [first, second] = preferenceList(fleet, "hot");
    const cold = Array.from({ length: 64 }, (_, i) => `cold-${i}`).find((id) => preferenceList(fleet, id)[0] === first)!;
    const worker = (name: string, adapters: Adapter[]) =>
      startScriptedWorker({ router: router.address, name, adapters, script: reverser(name) });
    await using busy = await worker(first!, [held("hot", 9), held(cold, 1)]);
    await using other = await worker(second!, [held("hot", 0), held(cold, 0)]);
    await listed(router, ...names);
    using connection = inferenceClient(router.address);
    // The bound of each is 12,500 tokens, half of the slack ends at 11,250.
    await taken(router, busy, { inFlightTokens: 11_800, runningRequests: 10 });
    await taken(router, other, { inFlightTokens: 8200, runningRequests: 0 });
    expect(servedBy(await hear(connection.client.generate(textRequest("a", cold))))).toBe(first);
    expect(servedBy(await hear(connection.client.generate(textRequest("a", "hot"))))).toBe(second);
  });

  test("a base model that nobody serves, and a fleet of nobody", async () => {
    await using router = await temporaryRouter();
    using connection = inferenceClient(router.address);
    expect(errorInfo((await hear(connection.client.generate(textRequest("a")))).error)?.reason).toBe("NO_WORKER");
    await using worker = await startScriptedWorker({ router: router.address, name: "w1", script: reverser("w1") });
    await listed(router, worker.name);
    const { error } = await hear(connection.client.generate({ ...textRequest("a"), model: "other" }));
    expect(error).toMatchObject({ code: Status.NOT_FOUND, details: expect.stringContaining("there is: tiny") });
    expect(errorInfo(error)?.reason).toBe("MODEL_NOT_FOUND");
  });

  test("of several base models one has to be named, unless the adapter tells", async () => {
    await using router = await temporaryRouter();
    const script = (name: string, model: string) => ({ router: router.address, name, model, script: reverser(name) });
    await using w1 = await startScriptedWorker({ ...script("w1", "small"), adapters: [announcedAdapter("a")] });
    await using w2 = await startScriptedWorker(script("w2", "large"));
    await listed(router, w1.name, w2.name);
    using connection = inferenceClient(router.address);
    const { error } = await hear(connection.client.generate(textRequest("x")));
    expect(error).toMatchObject({ code: Status.INVALID_ARGUMENT, details: expect.stringContaining("large, small") });
    expect(servedBy(await hear(connection.client.generate({ ...textRequest("x"), model: "large" })))).toBe("w2");
    expect(servedBy(await hear(connection.client.generate(textRequest("x", "a"))))).toBe("w1");
  });
});

describe("the end of a call", () => {
  /** Sends one delta, then waits for its call to be aborted. */
  const waiter = (aborted: () => void): Script =>
    async function* (_, { signal }) {
      yield acceptedBy("w1");
      yield delta("one", 1);
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
      aborted();
    };

  test("a client that cancels is felt by the worker", async () => {
    const aborted = deferred();
    await using router = await temporaryRouter();
    const script = waiter(aborted.resolve);
    await using worker = await startScriptedWorker({ router: router.address, name: "w1", script });
    await listed(router, worker.name);
    using connection = inferenceClient(router.address);
    for await (const event of connection.client.generate(textRequest("a"))) if (textOf(event) === "one") break;
    await aborted.promise;
  });

  test("a client whose connection is lost, too", async () => {
    const aborted = deferred();
    await using router = await temporaryRouter();
    const script = waiter(aborted.resolve);
    await using worker = await startScriptedWorker({ router: router.address, name: "w1", script });
    await listed(router, worker.name);
    using client = rawClient(router.address);
    void client.call(requestFrame(textRequest("a")));
    await worker.received(1);
    client.session.destroy();
    await aborted.promise;
  });

  test("the deadline is the router's as well, before and after the first output", async () => {
    const timers = manualTimers();
    const aborted = deferred();
    await using router = await temporaryRouter({ timers });
    const script = waiter(aborted.resolve);
    await using worker = await startScriptedWorker({ router: router.address, name: "w1", script });
    await listed(router, worker.name);
    using client = rawClient(router.address);
    const stream = client.open({ "grpc-timeout": "5S" });
    stream.end(requestFrame(textRequest("a")));
    await once(stream, "data");
    const answer = readAnswer(stream);
    timers.advance(4999);
    expect(stream.closed).toBe(false);
    timers.advance(1);
    expect((await answer).status).toBe(String(Status.DEADLINE_EXCEEDED));
    await aborted.promise;

    const silent = client.open({ "grpc-timeout": "5S" });
    const unanswered = readAnswer(silent);
    silent.write(requestFrame(textRequest("b")).subarray(0, 7));
    await client.settled();
    timers.advance(5000);
    await client.settled();
    expect(silent.closed).toBe(false);
    // It has been told, but keeps its side open. That is borne for a while only.
    timers.advance(5000);
    expect(await unanswered).toMatchObject({ status: String(Status.DEADLINE_EXCEEDED) });
    expect(worker.calls).toHaveLength(1);
  });

  test("a worker gets what is left of the deadline", async () => {
    const timers = manualTimers();
    const seen: (string | undefined)[] = [];
    await using router = await temporaryRouter({ timers });
    await using backend = await rawWorker(router, "w1", (stream, headers) => {
      seen.push(headers["grpc-timeout"] as string);
      stream.respond({ ":status": 200, "content-type": "application/grpc", "grpc-status": "0" }, { endStream: true });
    });
    await listed(router, backend.name);
    using client = rawClient(router.address);
    const stream = client.open({ "grpc-timeout": "5S" });
    const answer = readAnswer(stream);
    const request = requestFrame(textRequest("a"));
    stream.write(request.subarray(0, 3));
    await client.settled();
    timers.advance(1234);
    stream.end(request.subarray(3));
    expect((await answer).status).toBe("0");
    expect(seen).toEqual(["3766000u"]);
  });
});

/** Says how busy a worker is. Resolves when the router has taken it. */
async function taken(router: Router, worker: ScriptedWorker, sample: Partial<LoadSample>): Promise<void> {
  const done = deferred();
  const stop = router.fleet.listen({ loaded: ({ name }) => name === worker.name && done.resolve() });
  worker.load(sample);
  await done.promise;
  stop();
}
