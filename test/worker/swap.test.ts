import { randomUUID } from "node:crypto";
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { AdapterSwap, Tier, type AdapterChanged, type GenerateResponse } from "@polygraft/api";
import { Status } from "nice-grpc";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeTinyAdapter } from "../support/tiny-model.js";
import { assemble, collect, request, temporaryWorker, type Output, type TemporaryWorker } from "../support/worker-fixture.js";

/** Streams that are to be changed must not end by themselves before; the others are compared whole. */
const ENDLESS = 30_000;
const TOKENS = 2000;

let tiny: TemporaryWorker;

/** Puts other weights in an adapter's place, as files should be replaced that others read. */
async function publish(name: string, seed: number): Promise<void> {
  const aside = join(tiny.adapters, `.${randomUUID()}`);
  await writeTinyAdapter(aside, { seed });
  await rename(join(aside, "adapter_model.safetensors"), join(tiny.adapters, name, "adapter_model.safetensors"));
}

const long = (id: string, more: object = {}, maxTokens = TOKENS) =>
  request("hello", { adapter: { id, ...more }, stopping: { maxTokens }, response: { logprobs: true } });
const endless = (id: string) => long(id, {}, ENDLESS);

/** A stream that has begun. It can be read to its end, or to some tokens behind a change that fits, and is left then. */
async function begun(wanted: ReturnType<typeof request>) {
  const abort = new AbortController();
  const events = tiny.inference.generate(wanted, { signal: abort.signal })[Symbol.asyncIterator]();
  const seen: GenerateResponse[] = [];
  while (seen.length < 3) seen.push((await events.next()).value as GenerateResponse);
  const rest = async (enough: () => boolean = () => false): Promise<Output> => {
    while (!enough()) {
      const next = await events.next();
      if (next.done === true) break;
      seen.push(next.value);
    }
    return assemble(seen);
  };
  const beyond = async (fits: (change: AdapterChanged) => boolean = () => true): Promise<Output> => {
    let left = Number.POSITIVE_INFINITY;
    const output = await rest(() => {
      const event = seen.at(-1)?.event;
      if (event?.$case === "adapterChanged" && fits(event.value)) left = 20;
      return left-- <= 0;
    });
    abort.abort();
    return output;
  };
  return { rest: async () => rest(), beyond };
}

/** Resolves when nobody uses an adapter any more. */
async function unused(id: string): Promise<void> {
  while ((await tiny.adapterService.getAdapter({ adapter: { id } })).adapter?.residency[0]?.references !== 0);
}

const changes = ({ events }: Output) => events.flatMap(({ event }) => (event?.$case === "adapterChanged" ? [event.value] : []));
const swap = async (id: string) => tiny.adapterService.loadAdapter({ adapter: { id }, swap: AdapterSwap.IN_PLACE });

describe.each(["source", "int8"] as const)("a swap in place, where adapters are held as %s", (adapterType) => {
  beforeAll(async () => {
    tiny = await temporaryWorker({}, { maxContext: 32_768, adapterType }, { shape: { context: 32_768 } });
  });
  afterAll(async () => tiny[Symbol.asyncDispose]());

  test("moves a running stream to the new content, and says where", async () => {
    await writeTinyAdapter(join(tiny.adapters, "moving"), { seed: 1 });
    const stream = await begun(endless("moving"));
    const old = (await tiny.adapterService.getAdapter({ adapter: { id: "moving" } })).adapter?.identity;
    await publish("moving", 2);
    const { adapter } = await swap("moving");
    expect(adapter?.residency[0]?.tier).toBe(Tier.DEVICE);
    const output = await stream.beyond();
    const [change] = changes(output);
    expect(changes(output)).toHaveLength(1);
    expect(change?.adapter).toEqual(adapter?.identity);
    expect(output.accepted?.adapter).toEqual(old);
    // The deltas before the event hold just the tokens that it counts.
    const at = change?.outputTokens ?? 0;
    expect(at).toBeGreaterThan(0);
    const place = output.events.findIndex(({ event }) => event?.$case === "adapterChanged");
    expect(assemble(output.events.slice(0, place)).tokenIds).toHaveLength(at);
    await unused("moving");
    // Up to the change it is the old content to the bit, and after it is not.
    await publish("moving", 1);
    const before = await collect(tiny.inference.generate(long("moving", {}, at + 1)));
    expect(output.logprobs.slice(0, at)).toEqual(before.logprobs.slice(0, at));
    expect(output.logprobs[at]).not.toBe(before.logprobs[at]);
  });

  test("what comes afterwards is the new content alone, whatever the stream left in the prefix cache", async () => {
    await writeTinyAdapter(join(tiny.adapters, "later"), { seed: 3 });
    const stream = await begun(endless("later"));
    await publish("later", 4);
    await swap("later");
    const mixed = await stream.beyond();
    const prompt = { $case: "tokenIds" as const, value: { ids: [311, ...mixed.tokenIds] } };
    const wanted = request(prompt, { adapter: { id: "later" }, response: { logprobs: true } });
    const cached = await collect(tiny.inference.generate(wanted));
    const alone = await collect(tiny.inference.generate({ ...wanted, cache: { bypass: true } }));
    expect(cached.logprobs).toEqual(alone.logprobs);
  });

  test("leaves streams alone that asked for a digest or a revision", async () => {
    await writeTinyAdapter(join(tiny.adapters, "exact"), { seed: 5 });
    await writeTinyAdapter(join(tiny.adapters, "versioned@v1"), { seed: 6 });
    const { adapter } = await tiny.adapterService.getAdapter({ adapter: { id: "exact" } });
    const exact = long("exact", { digest: adapter?.identity?.digest });
    const versioned = long("versioned", { revision: "v1" });
    const before = [await collect(tiny.inference.generate(exact)), await collect(tiny.inference.generate(versioned))];
    const streams = [await begun(exact), await begun(versioned)];
    await publish("exact", 7);
    await writeTinyAdapter(join(tiny.adapters, "versioned@v2"), { seed: 8 });
    await swap("exact");
    await swap("versioned");
    for (const [index, stream] of streams.entries()) {
      const output = await stream.rest();
      expect(changes(output)).toEqual([]);
      expect(output.logprobs).toEqual(before[index]?.logprobs);
    }
  });

  test("follows a name to its new revision, and further", async () => {
    await writeTinyAdapter(join(tiny.adapters, "grown@v1"), { seed: 1 });
    const stream = await begun(endless("grown"));
    for (const [revision, seed] of [["v2", 2], ["v3", 3]] as const) {
      await writeTinyAdapter(join(tiny.adapters, `grown@${revision}`), { seed });
      await swap("grown");
    }
    const output = await stream.beyond(({ adapter }) => adapter?.revision === "v3");
    const seen = changes(output).map(({ adapter }) => adapter?.revision);
    expect(seen.at(-1)).toBe("v3"); // v2 may have come and gone between two tokens
    expect(output.accepted?.adapter?.revision).toBe("v1");
    await unused("grown");
    // The revision itself is what it was.
    const v1 = await collect(tiny.inference.generate(request("hello", { adapter: { id: "grown", revision: "v1" } })));
    expect(v1.accepted?.adapter?.revision).toBe("v1");
  });

  test("is no change where the content is the same", async () => {
    await writeTinyAdapter(join(tiny.adapters, "same"), { seed: 1 });
    const stream = await begun(long("same"));
    await swap("same");
    expect(changes(await stream.rest())).toEqual([]);
  });

  test("without it, a running stream keeps what it has", async () => {
    await writeTinyAdapter(join(tiny.adapters, "drained"), { seed: 1 });
    const before = await collect(tiny.inference.generate(long("drained")));
    const stream = await begun(long("drained"));
    await publish("drained", 2);
    await tiny.adapterService.loadAdapter({ adapter: { id: "drained" }, swap: AdapterSwap.DRAIN });
    const output = await stream.rest();
    expect(changes(output)).toEqual([]);
    expect(output.logprobs).toEqual(before.logprobs);
  });

  test.each([
    [{ adapter: { id: "same", revision: "v1" } }, "adapter.revision"],
    [{ adapter: { id: "same", digest: `sha256:${"0".repeat(64)}` } }, "adapter.digest"],
    [{ adapter: { id: "same" }, tier: Tier.HOST }, "tier"],
  ])("%j cannot be swapped in place", async (wanted, field) => {
    const outcome = tiny.adapterService.loadAdapter({ ...wanted, swap: AdapterSwap.IN_PLACE });
    await expect(outcome).rejects.toMatchObject({ code: Status.INVALID_ARGUMENT });
    await expect(outcome).rejects.toThrow(field);
  });
});
