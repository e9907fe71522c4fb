import { afterEach, expect, test } from "vitest";
import { Polygraft, PolygraftError } from "../index.js";
import { TestServer } from "./index.js";
import type { Reply } from "./index.js";

const cleanups: (() => void)[] = [];
afterEach(() => cleanups.splice(0).forEach((cleanup) => cleanup()));

async function connect(reply: Reply): Promise<{ server: TestServer; client: Polygraft }> {
  const server = await TestServer.start(reply);
  const client = new Polygraft({ address: server.address, retry: { initialBackoffMs: 1 } });
  cleanups.push(() => client.close(), () => server.close());
  return { server, client };
}

test("pieces of text become a stream", async () => {
  const { server, client } = await connect(() => ["Hel", "lo"]);
  const result = await client.generate({ prompt: "x", adapter: "a@v1", maxTokens: 5 }).final();
  expect(result).toMatchObject({ text: "Hello", tokenIds: [1, 2], finishReason: "stop-token", adapter: { id: "a", revision: "v1" } });
  expect(server.requests[0]).toMatchObject({ prompt: { value: "x" }, stopping: { maxTokens: 5 } });
});

test("an error arrives as it was thrown", async () => {
  const details = {
    code: "INVALID_FIELD",
    status: "INVALID_ARGUMENT",
    fields: [{ field: "a.b", description: "is too long" }],
    adapter: "acme/a",
    worker: "w7",
    metadata: { limit: "5" },
  } as const;
  const { client } = await connect(function* () {
    yield* [];
    throw new PolygraftError("wrong", details);
  });
  const { metadata, ...visible } = details;
  const error: unknown = await client.generate({ prompt: "x" }).text().catch((caught: unknown) => caught);
  expect(error).toMatchObject({ message: "wrong", ...visible });
  expect((error as PolygraftError).metadata).toMatchObject(metadata);
});

test("a failure that asks for a retry gets one", async () => {
  let calls = 0;
  const { client } = await connect(async function* () {
    calls += 1;
    if (calls === 1) throw new PolygraftError("full", { code: "QUEUE_FULL", status: "RESOURCE_EXHAUSTED", retryAfterMs: 5.5 });
    yield "done";
  });
  expect(await client.generate({ prompt: "x" }).text()).toBe("done");
  expect(calls).toBe(2);
});

test("a reply hears that its caller has left", async () => {
  let left!: () => void;
  const gone = new Promise<void>((resolve) => (left = resolve));
  const { client } = await connect(async function* (_request, signal) {
    signal.addEventListener("abort", left);
    yield "a";
    await gone;
  });
  for await (const _ of client.generate({ prompt: "x" }).textStream()) break;
  await gone;
});

test("a mistake in a reply is told as such", async () => {
  const { client } = await connect(() => {
    throw new TypeError("oops");
  });
  await expect(client.generate({ prompt: "x" }).text()).rejects.toThrow("the reply of the test server failed: oops");
});
