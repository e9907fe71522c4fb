import { AdapterServiceDefinition, AdapterSwap, FleetServiceDefinition, Tier, WorkerState } from "@polygraft/api";
import { ErrorInfo, RichServerError } from "nice-grpc-error-details";
import { Status } from "nice-grpc";
import { afterEach, expect, test } from "vitest";
import { deferred } from "../../test/support/deferred.js";
import { serve } from "../../test/support/scripted-service.js";
import type { TestServer } from "../../test/support/scripted-service.js";
import { Polygraft } from "./index.js";

const cleanups: (() => void)[] = [];
afterEach(() => cleanups.splice(0).forEach((cleanup) => cleanup()));

function connect(server: TestServer): Polygraft {
  const client = new Polygraft({ address: server.address });
  cleanups.push(() => client.close(), () => server.close());
  return client;
}

function adapter(id: string) {
  return {
    identity: { id, revision: "", digest: "sha256:00" },
    baseModel: "base",
    rank: 8,
    targetModules: ["q_proj"],
    bytes: 4096n,
    source: `dir/${id}`,
    residency: [{ worker: "w1", tier: Tier.HOST, pinned: true, references: 2, loadMicros: 1500 }],
  };
}

test("adapters are listed, described, loaded, unloaded and pinned", async () => {
  const asked: unknown[] = [];
  const note = (request: unknown) => {
    asked.push(request);
    return { adapter: adapter("a") };
  };
  const client = connect(
    await serve(AdapterServiceDefinition, {
      listAdapters: async ({ pageToken, prefix }) =>
        pageToken === ""
          ? { adapters: [adapter(`${prefix}a`), adapter(`${prefix}b`)], nextPageToken: "2" }
          : { adapters: [{ ...adapter(`${prefix}c`), error: "corrupt" }] },
      getAdapter: async ({ adapter }) => {
        const info = ErrorInfo.fromPartial({ reason: "ADAPTER_NOT_FOUND", domain: "polygraft" });
        if (adapter?.id === "missing") throw new RichServerError(Status.NOT_FOUND, "no such adapter", [info]);
        return note({ adapter });
      },
      loadAdapter: async (request) => note(request),
      unloadAdapter: async (request) => note(request),
      pinAdapter: async (request) => note(request),
    }),
  );
  const listed: string[] = [];
  for await (const { identity, error } of client.adapters.list({ prefix: "acme/" })) listed.push(identity.id + (error ?? ""));
  expect(listed).toEqual(["acme/a", "acme/b", "acme/ccorrupt"]);

  expect(await client.adapters.get("a@v1")).toEqual({
    ...adapter("a"),
    residency: [{ worker: "w1", tier: "host", pinned: true, references: 2, loadMs: 1.5 }],
  });
  await client.adapters.load("a", { tier: "host", pin: true });
  await client.adapters.unload({ id: "a", digest: "sha256:00" });
  await client.adapters.pin("a");
  await client.adapters.pin("a", false);
  const ref = { id: "a", revision: "", digest: "" };
  expect(asked).toEqual([
    { adapter: { ...ref, revision: "v1" } },
    { adapter: ref, tier: Tier.HOST, pin: true, swap: AdapterSwap.DRAIN },
    { adapter: { ...ref, digest: "sha256:00" } },
    { adapter: ref, pinned: true },
    { adapter: ref, pinned: false },
  ]);
  await expect(client.adapters.get("missing")).rejects.toMatchObject({
    code: "ADAPTER_NOT_FOUND",
    status: "NOT_FOUND",
    adapter: "missing",
  });
});

test("a call to a service can be cancelled and has a deadline", async () => {
  const client = connect(
    await serve(AdapterServiceDefinition, {
      listAdapters: async () => ({}),
      getAdapter: () => new Promise(() => {}),
      loadAdapter: async () => ({}),
      unloadAdapter: async () => ({}),
      pinAdapter: async () => ({}),
    }),
  );
  await expect(client.adapters.get("a", { timeoutMs: 50 })).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
  const controller = new AbortController();
  const call = client.adapters.get("a", { signal: controller.signal });
  controller.abort("enough");
  await expect(call).rejects.toMatchObject({ code: "CANCELLED", cause: "enough" });
});

test("the fleet is watched as whole states, until the watcher leaves", async () => {
  const left = deferred();
  const worker = (name: string, state: WorkerState = WorkerState.READY) => ({
    hello: { name, address: `${name}:1`, model: { name: "base" } },
    state,
  });
  const changes = [
    { version: 1n, snapshot: true, complete: false, workers: [worker("b")] },
    { version: 1n, snapshot: true, complete: true, workers: [worker("a")] },
    { version: 2n, complete: true, workers: [worker("b", WorkerState.DRAINING)] },
    { version: 3n, complete: true, removedWorkers: ["a"] },
    { version: 1n, snapshot: true, complete: true, workers: [worker("c")] },
  ];
  const client = connect(
    await serve(FleetServiceDefinition, {
      join: async function* () {},
      watchFleet: async function* (_request, { signal }) {
        yield* changes;
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        left.resolve();
      },
    }),
  );
  const states: string[] = [];
  for await (const { version, workers } of client.fleet.watch()) {
    states.push(`${version}: ${workers.map(({ name, state }) => `${name} ${state}`).join(", ")}`);
    if (states.length === 4) break;
  }
  expect(states).toEqual(["1: a ready, b ready", "2: a ready, b draining", "3: b draining", "1: c ready"]);
  await left.promise;
});
