import { afterEach, describe, expect, test } from "vitest";
import { deferred } from "../../test/support/deferred.js";
import { accepted, delta, finished, serveScript } from "../../test/support/scripted-service.js";
import type { Script, TestServer } from "../../test/support/scripted-service.js";
import { Polygraft } from "./index.js";
import type { GenerationEvent, PolygraftOptions } from "./index.js";

const cleanups: (() => void)[] = [];
afterEach(() => cleanups.splice(0).forEach((cleanup) => cleanup()));

async function connect(script: Script, options: PolygraftOptions = {}): Promise<{ client: Polygraft; server: TestServer }> {
  const server = await serveScript(script);
  const client = new Polygraft({ address: server.address, ...options });
  cleanups.push(() => client.close(), () => server.close());
  return { client, server };
}

const hello: Script = async function* (request) {
  yield accepted(request.requestId);
  yield delta("Hel", 1, 2);
  yield delta("lo", 3);
  yield finished(3);
};

describe("a generation", () => {
  test("is a stream of typed events", async () => {
    const { client } = await connect(hello);
    const events: GenerationEvent[] = [];
    for await (const event of client.generate({ prompt: "Say hello", requestId: "r-1" })) events.push(event);
    expect(events).toEqual([
      {
        type: "accepted",
        requestId: "r-1",
        worker: "worker-1",
        model: "tiny",
        fellBackToBase: false,
        queueMs: 0,
        adapterWaitMs: 0,
        promptTokens: 3,
        cachedTokens: 0,
        seed: 7n,
        attempt: 1,
      },
      { type: "delta", text: "Hel", tokenIds: [1, 2], logprobs: [] },
      { type: "delta", text: "lo", tokenIds: [3], logprobs: [] },
      {
        type: "finished",
        reason: "max-tokens",
        usage: { promptTokens: 3, cachedTokens: 1, outputTokens: 3 },
        timings: { queueMs: 1.5, prefillMs: 2, decodeMs: 3 },
      },
    ]);
  });

  test("gives its text, its result and its first event", async () => {
    const { client } = await connect(hello);
    const generation = client.generate({ prompt: "Say hello" });
    expect(await generation.text()).toBe("Hello");
    expect(await generation.final()).toMatchObject({
      text: "Hello",
      tokenIds: [1, 2, 3],
      finishReason: "max-tokens",
      worker: "worker-1",
      seed: 7n,
      requestId: generation.requestId,
      usage: { outputTokens: 3 },
    });
    expect((await generation.accepted).worker).toBe("worker-1");
  });

  test("gives its result after an iteration too", async () => {
    const { client } = await connect(hello);
    const generation = client.generate({ prompt: "Say hello" });
    const pieces: string[] = [];
    for await (const text of generation.textStream()) pieces.push(text);
    expect(pieces).toEqual(["Hel", "lo"]);
    expect((await generation.final()).text).toBe("Hello");
  });

  test("can be iterated over once", async () => {
    const { client } = await connect(hello);
    const generation = client.generate({ prompt: "Say hello" });
    await generation.text();
    expect(() => generation[Symbol.asyncIterator]()).toThrow(expect.objectContaining({ code: "ALREADY_CONSUMED" }));
  });

  test("leaves for the server before anybody reads it", async () => {
    const arrived = deferred<string>();
    const { client } = await connect(async function* (request) {
      arrived.resolve(request.requestId);
      yield finished(0);
    });
    const generation = client.generate({ prompt: "x" });
    expect(await arrived.promise).toBe(generation.requestId);
  });
});

describe("cancelling", () => {
  function endless(): { script: Script; cancelled: Promise<void> } {
    const cancelled = deferred();
    const script: Script = async function* (request, { signal }) {
      signal.addEventListener("abort", () => cancelled.resolve());
      yield accepted(request.requestId);
      yield delta("a", 1);
      await cancelled.promise;
    };
    return { script, cancelled: cancelled.promise };
  }

  test("by break reaches the server", async () => {
    const { script, cancelled } = endless();
    const { client } = await connect(script);
    const generation = client.generate({ prompt: "x" });
    for await (const event of generation) if (event.type === "delta") break;
    await cancelled;
    await expect(generation.final()).rejects.toMatchObject({ code: "ABANDONED", requestId: generation.requestId });
  });

  test("by break out of the text reaches the server", async () => {
    const { script, cancelled } = endless();
    const { client } = await connect(script);
    for await (const _ of client.generate({ prompt: "x" }).textStream()) break;
    await cancelled;
  });

  test("by abort() reaches the server and the consumer", async () => {
    const { script, cancelled } = endless();
    const { client } = await connect(script);
    const generation = client.generate({ prompt: "x" });
    const text = generation.text();
    await generation.accepted;
    generation.abort("enough");
    await expect(text).rejects.toMatchObject({ code: "CANCELLED", cause: "enough" });
    await cancelled;
  });

  test("by a signal reaches the server and keeps its reason", async () => {
    const { script, cancelled } = endless();
    const { client } = await connect(script);
    const controller = new AbortController();
    const generation = client.generate({ prompt: "x" }, { signal: controller.signal });
    await generation.accepted;
    const reason = new Error("user left");
    controller.abort(reason);
    await expect(generation.text()).rejects.toMatchObject({ code: "CANCELLED", status: "CANCELLED", cause: reason });
    await cancelled;
  });

  test("before the start sends nothing", async () => {
    let calls = 0;
    const { client } = await connect(async function* () {
      calls += 1;
      yield finished(0);
    });
    const text = client.generate({ prompt: "x" }, { signal: AbortSignal.abort() }).text();
    await expect(text).rejects.toMatchObject({ code: "CANCELLED" });
    expect(calls).toBe(0);
  });

  test("by closing the client ends what runs and what comes later", async () => {
    const { script, cancelled } = endless();
    const { client } = await connect(script);
    const generation = client.generate({ prompt: "x" });
    await generation.accepted;
    await client[Symbol.asyncDispose]();
    await expect(generation.text()).rejects.toMatchObject({ code: "CLIENT_CLOSED" });
    await cancelled;
    await expect(client.generate({ prompt: "x" }).text()).rejects.toMatchObject({ code: "CLIENT_CLOSED" });
  });
});

describe("time limits", () => {
  const silent: Script = async function* (request, { signal }) {
    yield accepted(request.requestId);
    if (request.prompt?.value !== "mute") yield delta("a", 1);
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
  };

  test("the deadline ends the call on both sides", async () => {
    const noticed = deferred();
    const { client } = await connect(async function* (request, { signal }) {
      yield accepted(request.requestId);
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      noticed.resolve();
    });
    const text = client.generate({ prompt: "x" }, { timeoutMs: 100 }).text();
    await expect(text).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED", status: "DEADLINE_EXCEEDED" });
    await noticed.promise;
  });

  test("the first output may be limited", async () => {
    const { client } = await connect(silent);
    const text = client.generate({ prompt: "mute" }, { firstTokenTimeoutMs: 50 }).text();
    await expect(text).rejects.toMatchObject({ code: "FIRST_TOKEN_TIMEOUT", status: "DEADLINE_EXCEEDED" });
  });

  test("the wait for further output may be limited", async () => {
    const { client } = await connect(silent);
    const text = client.generate({ prompt: "x" }, { firstTokenTimeoutMs: 30_000, interTokenTimeoutMs: 50 }).text();
    await expect(text).rejects.toMatchObject({ code: "INTER_TOKEN_TIMEOUT" });
  });
});

describe("flow control", () => {
  test("a consumer that stops reading stops the server", async () => {
    const chunk = "x".repeat(10_000);
    let sent = 0;
    const { client } = await connect(async function* (request) {
      yield accepted(request.requestId);
      for (; sent < 2_000; sent++) yield delta(chunk, 1);
      yield finished(2_000);
    });
    const events = client.generate({ prompt: "x" })[Symbol.asyncIterator]();
    await events.next();
    await events.next();
    // 2,000 chunks are 20 MB. Sockets and HTTP/2 windows hold some of it; without flow control all would be sent.
    let before = -1;
    while (sent !== before) {
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(sent).toBeLessThan(1_500);
    let text = chunk.length;
    for (let next = await events.next(); next.done !== true; next = await events.next()) {
      if (next.value.type === "delta") text += next.value.text.length;
    }
    expect(text).toBe(2_000 * chunk.length);
  });
});
