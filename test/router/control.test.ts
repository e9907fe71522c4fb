import { AdapterServiceDefinition, AdapterSwap, Tier } from "@polygraft/api";
import type { Adapter } from "@polygraft/api";
import { preferenceList, prepareFleet } from "@polygraft/placement";
import { createChannel, createClientFactory, Status } from "nice-grpc";
import { errorDetailsClientMiddleware } from "nice-grpc-error-details";
import { HealthDefinition } from "nice-grpc-server-health";
import { describe, expect, test } from "vitest";
import { reflectionClient } from "../support/reflection-client.js";
import { errorInfo, listed, temporaryRouter, unlisted } from "../support/router-fixture.js";
import { scriptedAdapters } from "../support/scripted-adapters.js";
import { announcedAdapter, startScriptedWorker } from "../support/scripted-worker.js";

const unused = () => {
  throw new Error("no generation in these tests");
};

async function adapterFleet() {
  const router = await temporaryRouter();
  const asked: string[] = [];
  const worker = (name: string, adapters: readonly Adapter[]) =>
    startScriptedWorker({ router: router.address, name, adapters, script: unused, adapterService: scriptedAdapters(name, asked) });
  const workers = [
    await worker("w1", [announcedAdapter("shared", { tier: Tier.DEVICE }), announcedAdapter("only-1")]),
    await worker("w2", [announcedAdapter("shared")]),
  ];
  await listed(router, "w1", "w2");
  const channel = createChannel(router.address);
  const client = createClientFactory().use(errorDetailsClientMiddleware).create(AdapterServiceDefinition, channel);
  return {
    client,
    asked,
    async [Symbol.asyncDispose]() {
      channel.close();
      for (const each of workers) await each[Symbol.asyncDispose]();
      await router.close();
    },
  };
}

const preferred = (id: string) => preferenceList(prepareFleet([{ name: "w1" }, { name: "w2" }]), id, 1)[0];
const held = (adapter: Adapter | undefined) => adapter?.residency.map(({ worker, tier }) => [worker, tier]);

describe("AdapterService", () => {
  test("lists what the workers announced, by pages", async () => {
    await using fleet = await adapterFleet();
    const first = await fleet.client.listAdapters({ pageSize: 1 });
    expect(first.adapters.map(({ identity }) => identity?.id)).toEqual(["only-1"]);
    const { adapters, nextPageToken } = await fleet.client.listAdapters({ pageToken: first.nextPageToken });
    expect([adapters.length, nextPageToken]).toEqual([1, ""]);
    expect(held(adapters[0])).toEqual([
      ["w1", Tier.DEVICE],
      ["w2", Tier.DISK],
    ]);
    const tooMany = fleet.client.listAdapters({ pageSize: 1001 });
    await expect(tooMany).rejects.toMatchObject({ code: Status.INVALID_ARGUMENT });
  });

  test("describes what is known, and asks the preferred worker for what is not", async () => {
    await using fleet = await adapterFleet();
    const { adapter } = await fleet.client.getAdapter({ adapter: { id: "shared" } });
    expect(adapter?.identity?.digest).toBe("sha256:shared");
    const other = fleet.client.getAdapter({ adapter: { id: "shared", digest: "sha256:other" } });
    const mismatch = await other.catch((error: Error) => error);
    expect(errorInfo(mismatch as Error)?.reason).toBe("ADAPTER_DIGEST_MISMATCH");
    const unknown = await fleet.client.getAdapter({ adapter: { id: "unknown" } }).catch((error: Error) => error);
    expect(unknown).toMatchObject({ code: Status.NOT_FOUND, details: 'no adapter "unknown"' });
    expect(errorInfo(unknown as Error)).toEqual({ reason: "ADAPTER_NOT_FOUND", metadata: { worker: preferred("unknown") } });
    await expect(fleet.client.getAdapter({})).rejects.toMatchObject({ code: Status.INVALID_ARGUMENT });
  });

  test("loads and pins on the preferred worker, unloads and lets go on all that know it", async () => {
    await using fleet = await adapterFleet();
    const adapter = { id: "shared" };
    const loaded = await fleet.client.loadAdapter({ adapter });
    expect(fleet.asked.splice(0)).toEqual([`${preferred("shared")} load shared`]);
    expect(held(loaded.adapter)).toContainEqual([preferred("shared"), Tier.DEVICE]);
    expect(held(loaded.adapter)).toHaveLength(2);
    await fleet.client.pinAdapter({ adapter, pinned: true });
    expect(fleet.asked.splice(0)).toEqual([`${preferred("shared")} pin shared`]);
    await fleet.client.pinAdapter({ adapter, pinned: false });
    expect(fleet.asked.splice(0).sort()).toEqual(["w1 unpin shared", "w2 unpin shared"]);
    const unloaded = await fleet.client.unloadAdapter({ adapter });
    expect(fleet.asked.splice(0).sort()).toEqual(["w1 unload shared", "w2 unload shared"]);
    expect(held(unloaded.adapter)).toEqual([
      ["w1", Tier.DISK],
      ["w2", Tier.DISK],
    ]);
    await fleet.client.loadAdapter({ adapter: { id: "only-1" } });
    expect(fleet.asked).toEqual(["w1 load only-1"]);
  });

  test("swaps in place on all that know it: any of them can have streams of the earlier content", async () => {
    await using fleet = await adapterFleet();
    await fleet.client.loadAdapter({ adapter: { id: "shared" }, swap: AdapterSwap.IN_PLACE });
    expect(fleet.asked.splice(0).sort()).toEqual(["w1 swap shared", "w2 swap shared"]);
    await fleet.client.loadAdapter({ adapter: { id: "shared" }, swap: AdapterSwap.DRAIN });
    expect(fleet.asked).toEqual([`${preferred("shared")} load shared`]);
  });
});

describe("health", () => {
  test("serves while a worker is ready; the fleet service as long as the router runs", async () => {
    await using router = await temporaryRouter();
    const channel = createChannel(router.address);
    const health = createClientFactory().create(HealthDefinition, channel);
    const statuses = async () => {
      const services = ["", "polygraft.v1.InferenceService", "polygraft.v1.AdapterService", "polygraft.v1.FleetService"];
      const answers = await Promise.all(services.map((service) => health.check({ service })));
      return answers.map(({ status }) => (status === 1 ? "serving" : "not"));
    };
    expect(await statuses()).toEqual(["not", "not", "not", "serving"]);
    await using worker = await startScriptedWorker({ router: router.address, name: "w1", script: unused });
    await listed(router, "w1");
    expect(await statuses()).toEqual(["serving", "serving", "serving", "serving"]);
    worker.leave();
    await unlisted(router, "w1");
    expect(await statuses()).toEqual(["not", "not", "not", "serving"]);
    await expect(health.check({ service: "no.Such" })).rejects.toMatchObject({ code: Status.NOT_FOUND });
    channel.close();
  });
});

describe("reflection", () => {
  test("tells the services and their types", async () => {
    await using router = await temporaryRouter();
    using client = reflectionClient(router.address);
    expect(await client.services()).toEqual(
      expect.arrayContaining(["polygraft.v1.AdapterService", "polygraft.v1.FleetService", "polygraft.v1.InferenceService"]),
    );
    const files = await client.filesContaining("polygraft.v1.InferenceService");
    expect(Buffer.concat(files).toString("latin1")).toContain("GenerateRequest");
    await expect(client.filesContaining("no.Such")).rejects.toThrow();
  });
});
