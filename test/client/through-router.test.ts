import dns from "node:dns";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Polygraft } from "@polygraft/client";
import { expect, test, vi } from "vitest";
import { deferred } from "../support/deferred.js";
import { listed, temporaryRouter } from "../support/router-fixture.js";
import { accepted, delta, finished } from "../support/scripted-service.js";
import { announcedAdapter, startScriptedWorker } from "../support/scripted-worker.js";
import { temporaryFolder } from "../support/temporary-folder.js";

async function* script({ requestId }: { readonly requestId: string }) {
  yield accepted(requestId);
  yield finished(0);
}

const silent = { maxRetries: 1, initialBackoffMs: 1 };

test("a generation through the router is what the worker sends", async () => {
  await using router = await temporaryRouter();
  await using worker = await startScriptedWorker({
    router: router.address,
    name: "w1",
    async *script(request) {
      yield accepted(request.requestId);
      yield delta("Hel", 1);
      yield delta("lo", 2);
      yield finished(2);
    },
  });
  await listed(router, worker.name);
  await using client = new Polygraft({ address: router.address });
  const generation = client.generate({ prompt: "x", adapter: "acme/a@v1" }, { timeoutMs: 30_000 });
  expect(await generation.final()).toMatchObject({ text: "Hello", tokenIds: [1, 2], requestId: generation.requestId });
  expect(worker.calls[0]?.request).toMatchObject({ requestId: generation.requestId, adapter: { id: "acme/a", revision: "v1" } });
});

test("where one router is dead, the other one is asked, for the fleet and for adapters too", async () => {
  const dead = await temporaryRouter();
  const gone = dead.address;
  await dead[Symbol.asyncDispose]();
  await using router = await temporaryRouter();
  await using worker = await startScriptedWorker({ router: router.address, name: "w1", adapters: [announcedAdapter("acme/a")], script });
  await listed(router, worker.name);
  const clientOf = () => new Polygraft({ address: [gone, router.address] });
  {
    await using client = clientOf();
    for await (const { workers } of client.fleet.watch()) {
      expect(workers.map(({ name }) => name)).toEqual(["w1"]);
      break;
    }
  }
  await using client = clientOf();
  expect((await client.adapters.get("acme/a")).identity.id).toBe("acme/a");
  await using lost = new Polygraft({ address: [gone, gone] });
  await expect(lost.adapters.get("acme/a")).rejects.toMatchObject({ code: "UNAVAILABLE" });
});

test("why the router chose a worker is told to who asks", async () => {
  await using router = await temporaryRouter();
  const adapters = [announcedAdapter("acme/a")];
  await using w1 = await startScriptedWorker({ router: router.address, name: "w1", adapters, script });
  await using w2 = await startScriptedWorker({ router: router.address, name: "w2", adapters, script });
  await listed(router, w1.name, w2.name);
  await using client = new Polygraft({ address: router.address });
  const placementOf = async (explain: boolean) => {
    for await (const event of client.generate({ prompt: "x", adapter: "acme/a", routing: { explain } })) {
      if (event.type === "accepted") return event.placement;
    }
    return undefined;
  };
  expect(await placementOf(false)).toBeUndefined();
  const placement = await placementOf(true);
  expect(placement?.reason).toBe("preferred");
  expect([...(placement?.candidates ?? [])].sort()).toEqual(["w1", "w2"]);
  expect([w1, w2].find(({ name }) => name === placement?.candidates[0])?.calls.length).toBeGreaterThan(0);
});

test("a worker that is lost in mid-stream and not replaced is told as such, with its name, and nothing is said twice", async () => {
  await using router = await temporaryRouter();
  await using worker = await startScriptedWorker({
    router: router.address,
    name: "w1",
    async *script(request, { signal }) {
      yield accepted(request.requestId);
      yield delta("Hel", 1);
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    },
  });
  await listed(router, worker.name);
  await using client = new Polygraft({ address: router.address, retry: false });
  let text = "";
  const read = (async () => {
    for await (const piece of client.generate({ prompt: "x" }).textStream()) {
      text += piece;
      worker.cut();
    }
  })();
  await expect(read).rejects.toMatchObject({ code: "WORKER_LOST", status: "UNAVAILABLE", worker: "w1", retryable: true });
  expect(text).toBe("Hel");
  expect(worker.calls).toHaveLength(1);
});

test("break reaches the worker", async () => {
  const cancelled = deferred();
  await using router = await temporaryRouter();
  await using worker = await startScriptedWorker({
    router: router.address,
    name: "w1",
    async *script(request, { signal }) {
      signal.addEventListener("abort", () => cancelled.resolve());
      yield accepted(request.requestId);
      yield delta("a", 1);
      await cancelled.promise;
    },
  });
  await listed(router, worker.name);
  await using client = new Polygraft({ address: router.address });
  for await (const _ of client.generate({ prompt: "x" }).textStream()) break;
  await cancelled.promise;
});

test("a fleet without workers says so, after the retries", async () => {
  await using router = await temporaryRouter();
  await using client = new Polygraft({ address: router.address, retry: silent });
  await expect(client.generate({ prompt: "x" }).text()).rejects.toMatchObject({ code: "NO_WORKER", retryable: true });
});

test("a router with API keys serves those who have one", async () => {
  await using folder = await temporaryFolder();
  const apiKeysFile = join(folder.path, "keys");
  await writeFile(apiKeysFile, "key-1\n");
  await using router = await temporaryRouter({ apiKeysFile });
  await using worker = await startScriptedWorker({
    router: router.address,
    name: "w1",
    apiKey: "key-1",
    async *script(request) {
      yield accepted(request.requestId);
      yield finished(0);
    },
  });
  await listed(router, worker.name);
  await using stranger = new Polygraft({ address: router.address });
  await using friend = new Polygraft({ address: router.address, apiKey: "key-1" });
  await expect(stranger.generate({ prompt: "x" }).text()).rejects.toMatchObject({ code: "UNAUTHENTICATED", retryable: false });
  await expect(stranger.adapters.list().next()).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
  expect(await friend.generate({ prompt: "x" }).text()).toBe("");
});

test("fleet and adapters are seen through the router as workers come and go", async () => {
  await using router = await temporaryRouter();
  await using client = new Polygraft({ address: router.address });
  const states = client.fleet.watch({ residency: true })[Symbol.asyncIterator]();
  expect((await states.next()).value?.workers).toEqual([]);
  await using worker = await startScriptedWorker({
    router: router.address,
    name: "w1",
    adapters: [announcedAdapter("b"), announcedAdapter("a")],
    script: async function* () {
      yield* [];
    },
  });
  let seen = await states.next();
  while (seen.value?.workers[0]?.adapters.length !== 2) seen = await states.next();
  expect(seen.value.workers[0]).toMatchObject({ name: "w1", state: "ready", model: { name: "tiny" } });
  const ids: string[] = [];
  for await (const { identity } of client.adapters.list()) ids.push(identity.id);
  expect(ids).toEqual(["a", "b"]);
  expect((await client.adapters.get("a")).residency).toMatchObject([{ worker: "w1", tier: "disk" }]);
  worker.leave();
  while (seen.value?.workers.length !== 0) seen = await states.next();
  await states.return?.(undefined);
});

test("a name stands for all routers behind it, and for those that are left when one goes", async () => {
  const routers = [await temporaryRouter()];
  const port = routers[0]!.address.split(":")[1]!;
  const hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
  for (const host of hosts.slice(1)) routers.push(await temporaryRouter({ listen: `${host}:${port}` }));
  const workers = await Promise.all(
    routers.map(async (router, index) => {
      const script = async function* ({ requestId }: { readonly requestId: string }) {
        yield accepted(requestId);
        yield delta(`${index}`, 1);
        yield finished(1);
      };
      const worker = await startScriptedWorker({ router: router.address, name: "w", script });
      await listed(router, "w");
      return worker;
    }),
  );
  const resolved = vi.spyOn(dns.promises, "lookup").mockResolvedValue(hosts.map((address) => ({ address, family: 4 })) as never);
  try {
    await using client = new Polygraft({ address: `routers.test:${port}`, retry: { maxRetries: 5, initialBackoffMs: 1 } });
    const served = new Set<string>();
    while (served.size < routers.length) served.add(await client.generate({ prompt: "x" }).text());
    expect(resolved).toHaveBeenCalledWith("routers.test", expect.anything());
    await routers[1]!.close();
    const after = await Promise.all(Array.from({ length: 20 }, () => client.generate({ prompt: "x" }).text()));
    expect(new Set(after)).toEqual(new Set(["0", "2"]));
  } finally {
    resolved.mockRestore();
    for (const worker of workers) await worker[Symbol.asyncDispose]();
    await Promise.all(routers.map(async (router) => router.close()));
  }
});
