import { mkdir, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { OnMiss, Tier, type Adapter } from "@polygraft/api";
import { Status } from "nice-grpc";
import { RichClientError } from "nice-grpc-error-details";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { HubServer } from "../support/hub-server.js";
import { collect, request, temporaryWorker, type TemporaryWorker } from "../support/worker-fixture.js";
import { temporaryFolder } from "../support/temporary-folder.js";
import { writeTinyAdapter, type TinyAdapterOptions } from "../support/tiny-model.js";

let tiny: TemporaryWorker;
beforeAll(async () => {
  tiny = await temporaryWorker({ a: { seed: 1 } });
});
afterAll(async () => tiny[Symbol.asyncDispose]());

const add = async (name: string, options: TinyAdapterOptions = {}): Promise<string> => {
  const path = join(tiny.adapters, name);
  await writeTinyAdapter(path, options);
  return path;
};

const generate = async (id: string, more: Parameters<typeof request>[1] = {}, on = tiny) =>
  collect(on.inference.generate(request("hello", { adapter: { id }, ...more })));

/** Status, reason and metadata of the refusal. */
async function refusal(work: Promise<unknown>): Promise<{ code: Status; reason: string; metadata: Record<string, string>; message: string }> {
  const error: unknown = await work.then(() => undefined, (error: unknown) => error);
  if (!(error instanceof RichClientError)) throw new Error(`no refusal but ${String(error)}`);
  const info = error.extra.find((detail) => detail.$type === "google.rpc.ErrorInfo");
  return { code: error.code, reason: info?.reason ?? "", metadata: info?.metadata ?? {}, message: error.details };
}

const get = async (id: string, on = tiny): Promise<Adapter> => {
  const { adapter } = await on.adapterService.getAdapter({ adapter: { id } });
  if (!adapter) throw new Error("no adapter");
  return adapter;
};

const tierOf = async (id: string, on = tiny): Promise<Tier | undefined> => (await get(id, on)).residency[0]?.tier;

describe("bad adapters", () => {
  test("an unknown one is NOT_FOUND", async () => {
    expect(await refusal(generate("none"))).toMatchObject({ code: Status.NOT_FOUND, reason: "ADAPTER_NOT_FOUND", metadata: { adapter: "none" } });
  });

  test("one for another shape names the tensor", async () => {
    await add("wide", { shape: { hidden: 128 } });
    const { code, reason, metadata } = await refusal(generate("wide"));
    expect([code, reason]).toEqual([Status.FAILED_PRECONDITION, "ADAPTER_INCOMPATIBLE"]);
    expect(metadata["tensor"]).toMatch(/q_proj/);
    expect((await get("wide")).error).toMatch(/q_proj/);
  });

  test.each([
    ["use_dora", { use_dora: true }],
    ["modules_to_save", { modules_to_save: ["lm_head"] }],
  ])("what the engine cannot serve names the key %s", async (key, config) => {
    await add(key, { config });
    expect(await refusal(generate(key))).toMatchObject({ code: Status.FAILED_PRECONDITION, reason: "ADAPTER_INCOMPATIBLE", metadata: { key } });
  });

  test("truncated weights are DATA_LOSS", async () => {
    const path = await add("cut");
    await truncate(join(path, "adapter_model.safetensors"), 5000);
    expect(await refusal(generate("cut"))).toMatchObject({ code: Status.DATA_LOSS, reason: "ADAPTER_CORRUPT" });
  });

  test("an absurd header is refused at once", async () => {
    const path = await add("absurd");
    await writeFile(join(path, "adapter_model.safetensors"), Buffer.alloc(64, 255));
    expect(await refusal(generate("absurd"))).toMatchObject({ code: Status.DATA_LOSS });
  });

  test.each(["../tiny", "/etc/passwd", "a/../../tiny"])("the path %s is outside what is allowed", async (id) => {
    expect(await refusal(generate(id))).toMatchObject({ code: Status.PERMISSION_DENIED, reason: "ADAPTER_SOURCE_FORBIDDEN" });
  });

  test("a link out of the folder is outside as well", async () => {
    await using outside = await temporaryFolder();
    await writeTinyAdapter(join(outside.path, "x"));
    await symlink(join(outside.path, "x"), join(tiny.adapters, "link"));
    expect(await refusal(generate("link"))).toMatchObject({ code: Status.PERMISSION_DENIED });
  });

  test.each([
    [{ id: "" }, "adapter.id"],
    [{ id: "x".repeat(513) }, "adapter.id"],
    [{ id: "a\u0000b" }, "adapter.id"],
    [{ id: "a", digest: "md5:1" }, "adapter.digest"],
    [{ id: "hf://nobody" }, ""],
  ])("the reference %j is refused", async (adapter, field) => {
    const { code, message } = await refusal(collect(tiny.inference.generate(request("hello", { adapter }))));
    expect(code).toBe(field === "" ? Status.PERMISSION_DENIED : Status.INVALID_ARGUMENT);
    expect(message).toContain(field);
  });

  test("one whose files were mended is served", async () => {
    const path = await add("mended");
    await writeFile(join(path, "adapter_model.safetensors"), "");
    await refusal(generate("mended"));
    await add("mended", { seed: 9 });
    expect((await generate("mended")).tokenIds).toHaveLength(12);
  });
});

describe("content", () => {
  test("a folder dropped in is served and listed without a restart", async () => {
    expect((await refusal(generate("dropped"))).reason).toBe("ADAPTER_NOT_FOUND");
    await add("dropped");
    expect((await generate("dropped")).tokenIds).toHaveLength(12);
    await add("later/and/deeper");
    const { adapters } = await tiny.adapterService.listAdapters({ prefix: "later" });
    expect(adapters).toMatchObject([{ identity: { id: "later/and/deeper", digest: "" }, baseModel: "tiny", rank: 8, targetModules: ["q_proj", "v_proj"] }]);
    expect(adapters[0]?.residency).toMatchObject([{ worker: "worker-1", tier: Tier.SOURCE }]);
  });

  test("a changed folder is another digest; a stream that runs keeps the old one", async () => {
    await add("moving", { seed: 1 });
    const long = { stopping: { maxTokens: 300, ignoreEos: true } };
    const undisturbed = await generate("moving", long);
    const events = tiny.inference.generate(request("hello", { adapter: { id: "moving" }, ...long }))[Symbol.asyncIterator]();
    const first = await events.next(); // it runs
    await add("moving", { seed: 2 });
    const changed = await generate("moving");
    const rest = await collect({ [Symbol.asyncIterator]: () => events });
    expect(first.value.event.value.adapter.digest).toBe(undisturbed.accepted?.adapter?.digest);
    expect(rest.tokenIds).toEqual(undisturbed.tokenIds);
    expect(changed.accepted?.adapter?.digest).not.toBe(undisturbed.accepted?.adapter?.digest);
    expect(changed.tokenIds).not.toEqual(undisturbed.tokenIds.slice(0, 12));
  });

  test("a digest that is asked for must be the content's", async () => {
    const { identity } = await get("a");
    const digest = identity?.digest ?? "";
    expect((await generate("a", { adapter: { id: "a", digest } })).accepted?.adapter?.digest).toBe(digest);
    const other = `sha256:${"0".repeat(64)}`;
    expect(await refusal(generate("a", { adapter: { id: "a", digest: other } }))).toMatchObject({
      code: Status.FAILED_PRECONDITION,
      reason: "ADAPTER_DIGEST_MISMATCH",
      metadata: { digest },
    });
  });

  test("a folder that was removed is gone", async () => {
    const path = await add("removed");
    await generate("removed");
    await rm(path, { recursive: true });
    expect((await refusal(generate("removed"))).reason).toBe("ADAPTER_NOT_FOUND");
    expect((await tiny.adapterService.listAdapters({ prefix: "removed" })).adapters).toEqual([]);
  });

  test("files that are there but cannot be read are the source's fault, not a bug", async () => {
    const path = await add("unreadable");
    await rm(join(path, "adapter_model.safetensors"));
    await mkdir(join(path, "adapter_model.safetensors"));
    const { code, reason, message } = await refusal(generate("unreadable"));
    expect([code, reason]).toEqual([Status.UNAVAILABLE, "ADAPTER_SOURCE_UNAVAILABLE"]);
    expect(message).toMatch(/unreadable.*EISDIR/);
    expect(message).not.toContain(tiny.adapters);
  });

  test("lists come in pages, each adapter once", async () => {
    for (const name of ["p1", "p2", "p3", "p4", "p5"]) await add(`page/${name}`);
    const seen: string[] = [];
    let pageToken = "";
    do {
      const page = await tiny.adapterService.listAdapters({ prefix: "page/", pageSize: 2, pageToken });
      seen.push(...page.adapters.map(({ identity }) => identity?.id ?? ""));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(seen).toEqual(["page/p1", "page/p2", "page/p3", "page/p4", "page/p5"]);
    expect(await refusal(tiny.adapterService.listAdapters({ pageSize: 1001 }))).toMatchObject({ code: Status.INVALID_ARGUMENT });
    expect(await refusal(tiny.adapterService.listAdapters({ pageToken: "!" }))).toMatchObject({ code: Status.INVALID_ARGUMENT });
  });
});

describe("tiers", () => {
  test("load, pin and unload move an adapter", async () => {
    await add("moved");
    const { adapterService } = tiny;
    const tierAfter = async (answer: Promise<{ adapter?: Adapter | undefined }>) => (await answer).adapter?.residency[0];
    const adapter = { id: "moved" };
    expect(await tierAfter(adapterService.loadAdapter({ adapter, tier: Tier.HOST }))).toMatchObject({ tier: Tier.HOST });
    expect(await tierAfter(adapterService.loadAdapter({ adapter }))).toMatchObject({ tier: Tier.DEVICE, pinned: false });
    expect(await tierAfter(adapterService.pinAdapter({ adapter, pinned: true }))).toMatchObject({ pinned: true });
    expect(await tierAfter(adapterService.pinAdapter({ adapter, pinned: false }))).toMatchObject({ tier: Tier.DEVICE, pinned: false });
    expect(await tierAfter(adapterService.unloadAdapter({ adapter }))).toMatchObject({ tier: Tier.DISK, references: 0 });
  });

  test("a stream goes on when its adapter is unloaded", async () => {
    await add("pulled");
    const long = request("hello", { adapter: { id: "pulled" }, stopping: { maxTokens: 200 } });
    const undisturbed = await collect(tiny.inference.generate(long));
    const events = tiny.inference.generate(long)[Symbol.asyncIterator]();
    await events.next();
    await tiny.adapterService.unloadAdapter({ adapter: { id: "pulled" } });
    expect((await collect({ [Symbol.asyncIterator]: () => events })).tokenIds).toEqual(undisturbed.tokenIds);
    while ((await tierOf("pulled")) !== Tier.DISK);
  });

  test("an adapter that is unloaded while in use, and asked for again, stays", async () => {
    await add("wanted");
    const long = request("hello", { adapter: { id: "wanted" }, stopping: { maxTokens: 200 } });
    const events = tiny.inference.generate(long)[Symbol.asyncIterator]();
    await events.next();
    await tiny.adapterService.unloadAdapter({ adapter: { id: "wanted" } });
    await tiny.adapterService.loadAdapter({ adapter: { id: "wanted" } });
    await collect({ [Symbol.asyncIterator]: () => events });
    while ((await get("wanted")).residency[0]?.references !== 0);
    expect(await tierOf("wanted")).toBe(Tier.DEVICE);
  });

  test("an adapter that is not there yet: fail at once, or serve the base, and load it meanwhile", async () => {
    await add("cold");
    const base = await collect(tiny.inference.generate(request("hello")));
    const asBase = await generate("cold", { onMiss: OnMiss.BASE });
    expect(asBase.accepted).toMatchObject({ fellBackToBase: true, adapter: undefined, tier: Tier.UNSPECIFIED });
    expect(asBase.tokenIds).toEqual(base.tokenIds);
    while ((await tierOf("cold")) !== Tier.DEVICE);
    expect((await generate("cold", { onMiss: OnMiss.BASE })).accepted).toMatchObject({ fellBackToBase: false, tier: Tier.DEVICE });
    await add("frozen");
    expect(await refusal(generate("frozen", { onMiss: OnMiss.FAIL }))).toMatchObject({ code: Status.UNAVAILABLE, reason: "ADAPTER_NOT_READY" });
    while ((await tierOf("frozen")) !== Tier.DEVICE);
    expect((await generate("frozen", { onMiss: OnMiss.FAIL })).tokenIds).toHaveLength(12);
    expect((await refusal(generate("nowhere", { onMiss: OnMiss.FAIL }))).reason).toBe("ADAPTER_NOT_FOUND");
  });

  test("many requests at once for one adapter share one load", async () => {
    await add("shared", { seed: 5 });
    const outputs = await Promise.all(Array.from({ length: 8 }, async () => generate("shared")));
    expect(new Set(outputs.map(({ tokenIds }) => tokenIds.join())).size).toBe(1);
    expect((await get("shared")).residency[0]).toMatchObject({ references: 0, tier: Tier.DEVICE });
  });
});

describe("a device with room for two", () => {
  const names = ["a", "b", "c", "d"];
  let small: TemporaryWorker;
  beforeAll(async () => {
    const adapters = Object.fromEntries(names.map((name, index) => [name, { seed: index + 1 }]));
    const bytes = await deviceBytes();
    small = await temporaryWorker(adapters, { adapterBytes: 2 * bytes + 1, adapterWaitSeconds: 45 });
  });
  afterAll(async () => small[Symbol.asyncDispose]());

  async function deviceBytes(): Promise<number> {
    await tiny.adapterService.loadAdapter({ adapter: { id: "a" } });
    return Number((await get("a")).bytes);
  }

  const resident = async (): Promise<string[]> => {
    const { adapters } = await small.adapterService.listAdapters({});
    return adapters.filter(({ residency }) => residency[0]?.tier === Tier.DEVICE).map(({ identity }) => identity?.id ?? "");
  };

  test("the one unused for the longest time goes", async () => {
    for (const id of ["a", "b", "a", "c"]) await generate(id, {}, small);
    expect(await resident()).toEqual(["a", "c"]);
    expect((await generate("b", {}, small)).accepted?.tier).toBe(Tier.HOST);
    expect(await resident()).toEqual(["b", "c"]);
  });

  test("a pinned one stays", async () => {
    await small.adapterService.pinAdapter({ adapter: { id: "a" }, pinned: true });
    for (const id of ["b", "c", "d"]) await generate(id, {}, small);
    expect(await resident()).toEqual(["a", "d"]);
    await small.adapterService.pinAdapter({ adapter: { id: "a" }, pinned: false });
  });

  test("four at once take turns, and none is lost", async () => {
    const outputs = await Promise.all([...names, ...names].map(async (id) => generate(id, {}, small)));
    expect(outputs.every(({ tokenIds }) => tokenIds.length === 12)).toBe(true);
    for (const [index, id] of names.entries()) expect(outputs[index]?.tokenIds).toEqual((await generate(id, {}, small)).tokenIds);
  });

  test("when all is pinned, the next one is told so", async () => {
    for (const id of ["a", "b"]) await small.adapterService.pinAdapter({ adapter: { id }, pinned: true });
    expect(await refusal(generate("c", {}, small))).toMatchObject({ code: Status.RESOURCE_EXHAUSTED, reason: "ADAPTER_MEMORY_FULL" });
    for (const id of ["a", "b"]) await small.adapterService.pinAdapter({ adapter: { id }, pinned: false });
    expect((await generate("c", {}, small)).tokenIds).toHaveLength(12);
  });

  test("one that can never fit is told so", async () => {
    await writeTinyAdapter(join(small.adapters, "huge"), { rank: 64, targets: ["q_proj", "o_proj", "gate_proj", "up_proj", "down_proj"] });
    const { reason, message } = await refusal(generate("huge", {}, small));
    expect(reason).toBe("ADAPTER_MEMORY_FULL");
    expect(message).toMatch(/--adapter-bytes/);
    expect((await resident()).length).toBeGreaterThan(0); // nobody was thrown out for it
  });
});

test("a host tier without room keeps what is on the device", async () => {
  await using small = await temporaryWorker({ a: { seed: 1 }, b: { seed: 2 } }, { hostAdapterBytes: 0 });
  for (const id of ["a", "b"]) await generate(id, {}, small);
  expect(await tierOf("a", small)).toBe(Tier.DEVICE);
  await small.adapterService.unloadAdapter({ adapter: { id: "a" } });
  while ((await tierOf("a", small)) !== Tier.DISK);
  expect((await generate("a", {}, small)).tokenIds).toHaveLength(12);
});

describe("a hub", () => {
  const COMMIT = "c".repeat(40);

  test("serves an adapter by repository and revision", async () => {
    const hub = await HubServer.start();
    await using folder = await temporaryFolder();
    await writeTinyAdapter(folder.path, { seed: 1 });
    const names = ["adapter_config.json", "adapter_model.safetensors"];
    const files = new Map(await Promise.all(names.map(async (name) => [name, await readFile(join(folder.path, name))] as const)));
    hub.repositories.set("org/repo", { refs: { main: COMMIT, v1: COMMIT }, files });
    await using worker = await temporaryWorker({ same: { seed: 1 } }, { allowHub: ["org/*"], hubUrl: hub.url });
    const local = await generate("same", {}, worker);
    const fetched = await generate("", { adapter: { id: "hf://org/repo", revision: "v1" } }, worker);
    expect(fetched.tokenIds).toEqual(local.tokenIds);
    expect(fetched.accepted).toMatchObject({ adapter: { id: "hf://org/repo", revision: COMMIT }, tier: Tier.SOURCE });
    expect(fetched.accepted?.adapter?.digest).toBe(local.accepted?.adapter?.digest);
    expect((await generate("hf://org/repo@v1", {}, worker)).accepted?.tier).toBe(Tier.DEVICE);
    expect((await refusal(generate("hf://org/none", {}, worker))).code).toBe(Status.NOT_FOUND);
    expect((await refusal(generate("hf://other/repo", {}, worker))).code).toBe(Status.PERMISSION_DENIED);
    await hub.stop();
    expect((await refusal(generate("hf://org/repo@v2", {}, worker))).reason).toBe("ADAPTER_SOURCE_UNAVAILABLE");
    expect((await generate(`hf://org/repo@${COMMIT}`, {}, worker)).tokenIds).toEqual(local.tokenIds);
  });
});
