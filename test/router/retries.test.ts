import { Polygraft } from "@polygraft/client";
import { Metadata, ServerError, Status } from "nice-grpc";
import { expect, test } from "vitest";
import { deferred } from "../support/deferred.js";
import { hear, inferenceClient, listed, temporaryRouter, textRequest } from "../support/router-fixture.js";
import { accepted, delta, finished, refusal } from "../support/scripted-service.js";
import type { Script } from "../support/scripted-service.js";
import { announcedAdapter, startScriptedWorker } from "../support/scripted-worker.js";
import type { ScriptedWorker } from "../support/scripted-worker.js";

const names = ["w1", "w2", "w3"];

const refuses = refusal(new ServerError(Status.UNAVAILABLE, "no"));

const serves: (name: string) => Script = (name) =>
  async function* ({ requestId }) {
    yield accepted(requestId);
    yield delta(name, 1);
    yield finished(1);
  };

/** A router and three workers. */
async function fleet(script: (name: string) => Script) {
  const router = await temporaryRouter({ breakerFailures: 1e9 });
  const adapters = [announcedAdapter("a")];
  const workers: ScriptedWorker[] = [];
  for (const name of names) workers.push(await startScriptedWorker({ router: router.address, name, adapters, script: script(name) }));
  await listed(router, ...names);
  const calls = () => workers.reduce((sum, worker) => sum + worker.calls.length, 0);
  return {
    router,
    workers,
    calls,
    async [Symbol.asyncDispose]() {
      for (const worker of workers) await worker[Symbol.asyncDispose]();
      await router.close();
    },
  };
}

const quick = { initialBackoffMs: 1, maxBackoffMs: 10_000 };

test("a failure says how often and where a request was tried", async () => {
  await using them = await fleet(() => refuses);
  using connection = inferenceClient(them.router.address);
  const trailer = deferred<Metadata>();
  await hear(connection.client.generate(textRequest("x", "a"), { onTrailer: trailer.resolve }));
  const trailers = await trailer.promise;
  expect(trailers.get("polygraft-attempts")).toBe("3");
  expect(trailers.get("polygraft-tried")?.split(",").sort()).toEqual(names);
});

test("what a client has tried counts, and is avoided", async () => {
  await using them = await fleet(() => refuses);
  using connection = inferenceClient(them.router.address);
  const metadata = Metadata({ "grpc-previous-rpc-attempts": "1", "polygraft-tried": "w1" });
  await hear(connection.client.generate(textRequest("x", "a"), { metadata }));
  expect(them.workers.map(({ calls }) => calls.length)).toEqual([0, 1, 1]);
  metadata.set("grpc-previous-rpc-attempts", "17");
  await hear(connection.client.generate(textRequest("x", "a"), { metadata }));
  expect(them.calls()).toBe(3);
});

test("client and router together try a request three times, not three times each", async () => {
  await using them = await fleet(() => refuses);
  await using client = new Polygraft({ address: them.router.address, retry: quick });
  await expect(client.generate({ prompt: "x", adapter: "a" }).text()).rejects.toMatchObject({ status: "UNAVAILABLE" });
  expect(them.calls()).toBe(3);
});

test("a client's retry does not go back to the worker that has failed", async () => {
  let first = "";
  await using them = await fleet((name) => (request, context) => ((first ||= name) === name ? refuses : serves(name))(request, context));
  await using client = new Polygraft({ address: them.router.address, retry: quick });
  const text = await client.generate({ prompt: "x", adapter: "a", routing: { failover: false } }).text();
  expect(names).toContain(text);
  expect(text).not.toBe(first);
  expect(them.calls()).toBe(2);
});

test("where all requests fail, most are not sent again", async () => {
  await using them = await fleet(() => refuses);
  using connection = inferenceClient(them.router.address);
  const requests = 700;
  let left = requests;
  const sender = async () => {
    while (left-- > 0) await hear(connection.client.generate(textRequest("x", "a")));
  };
  await Promise.all(Array.from({ length: 16 }, sender));
  expect(them.calls()).toBe(requests + 1000);
});
