import { join } from "node:path";
import { Tier, type GenerateResponse } from "@polygraft/api";
import { Status } from "nice-grpc";
import { afterEach, expect, test } from "vitest";
import { writeTinyAdapter } from "../support/tiny-model.js";
import { collect, request, temporaryWorker, type TemporaryWorker } from "../support/worker-fixture.js";

// More adapters in use than fit on the device: the law behind "no cliff" is that nobody waits for others to end.

const NAMES = ["a", "b", "c", "d", "e"];
const ADAPTERS = Object.fromEntries(NAMES.map((name, index) => [name, { seed: index + 1 }]));
/** Room for two of them, and not for three. */
const ROOM = 60_000;
/** Tokens of streams that are to be left, and must not end by themselves before. */
const ENDLESS = 30_000;

let small: TemporaryWorker | undefined;
afterEach(async () => {
  await small?.[Symbol.asyncDispose]();
  small = undefined;
});

async function start(options: object = {}): Promise<TemporaryWorker> {
  const limits = { adapterBytes: ROOM, maxContext: 32_768, adapterWaitSeconds: 45, ...options };
  small = await temporaryWorker(ADAPTERS, limits, { shape: { context: 32_768 } });
  return small;
}

/** A stream that runs until it is left. */
async function endless({ inference }: TemporaryWorker, id: string) {
  const abort = new AbortController();
  const wanted = request("hello", { adapter: { id }, stopping: { maxTokens: ENDLESS }, response: { logprobs: true } });
  const events = inference.generate(wanted, { signal: abort.signal })[Symbol.asyncIterator]();
  const logprobs: number[] = [];
  /** Reads on until there are so many tokens. */
  const until = async (count: number): Promise<readonly number[]> => {
    while (logprobs.length < count) {
      const { event } = (await events.next()).value as GenerateResponse;
      if (event?.$case === "finished") throw new Error("the stream ended, although it was to be endless");
      if (event?.$case === "delta") logprobs.push(...event.value.logprobs.map(({ logprob }) => logprob));
    }
    return logprobs;
  };
  await until(1);
  return { until, leave: () => abort.abort() };
}

test("a cold adapter is served while all places are held by endless streams, and these go on as if nothing were", async () => {
  const worker = await start({ adapterTurnSeconds: 0.01 });
  const streams = [await endless(worker, "a"), await endless(worker, "b")];
  for (const id of ["c", "d", "e", "c"]) {
    const output = await collect(worker.inference.generate(request("hello", { adapter: { id } })));
    expect(output.tokenIds).toHaveLength(12);
  }
  const told = await Promise.all(streams.map(async ({ until }) => [...(await until(500))]));
  for (const { leave } of streams) leave();
  for (const [index, id] of ["a", "b"].entries()) {
    const alone = await collect(
      worker.inference.generate(request("hello", { adapter: { id }, stopping: { maxTokens: 500 }, response: { logprobs: true } })),
    );
    expect(told[index]?.slice(0, 500)).toEqual(alone.logprobs);
  }
});

test("who has had no token yet waits for no turn, and those that were parked for it come back", async () => {
  const worker = await start({ adapterTurnSeconds: 3600 });
  const streams = [await endless(worker, "a"), await endless(worker, "b")];
  for (const id of ["c", "d", "e", "c"]) {
    const output = await collect(worker.inference.generate(request("hello", { adapter: { id } })));
    expect(output.tokenIds).toHaveLength(12);
  }
  // One more came to stay: it takes a place, and the parked one is back when it has gone.
  const newcomer = await endless(worker, "d");
  newcomer.leave();
  await Promise.all(streams.map(async ({ until }) => until(200)));
  for (const { leave } of streams) leave();
});

test("new requests without end do not keep a parked stream away", async () => {
  const worker = await start({ adapterTurnSeconds: 3600 });
  const streams = [await endless(worker, "a"), await endless(worker, "b")];
  const enough = new AbortController();
  const flood = ["c", "d", "e", "c", "d", "e"].map(async (id) => {
    while (!enough.signal.aborted) await collect(worker.inference.generate(request("hello", { adapter: { id } })));
  });
  await Promise.all(streams.map(async ({ until }) => until(100)));
  enough.abort();
  await Promise.all(flood);
  for (const { leave } of streams) leave();
});

test("five endless streams share two places, and all of them get on", async () => {
  const worker = await start({ adapterTurnSeconds: 0.01 });
  const streams = await Promise.all(NAMES.map(async (id) => endless(worker, id)));
  await Promise.all(streams.map(async ({ until }) => until(300)));
  for (const { leave } of streams) leave();
  // All is given back: each can be loaded alone, and nobody uses any.
  for (const id of NAMES) {
    const use = async () => (await worker.adapterService.getAdapter({ adapter: { id } })).adapter?.residency[0];
    while ((await use())?.references !== 0);
    await worker.adapterService.unloadAdapter({ adapter: { id } });
    expect((await use())?.tier).toBe(Tier.DISK);
  }
});

test("adapters that are unloaded take their turns until their streams have ended, and go then", async () => {
  const worker = await start({ adapterTurnSeconds: 0.01 });
  const streams = await Promise.all(["a", "b", "c"].map(async (id) => endless(worker, id)));
  for (const id of ["a", "b", "c"]) await worker.adapterService.unloadAdapter({ adapter: { id } });
  await Promise.all(streams.map(async ({ until }) => until(200)));
  for (const { leave } of streams) leave();
  const tierOf = async (id: string) => (await worker.adapterService.getAdapter({ adapter: { id } })).adapter?.residency[0]?.tier;
  for (const id of ["a", "b", "c"]) while ((await tierOf(id)) !== Tier.DISK);
});

test("a pinned adapter does not give up its place", async () => {
  const worker = await start({ adapterTurnSeconds: 0.01 });
  await worker.adapterService.pinAdapter({ adapter: { id: "a" }, pinned: true });
  const streams = await Promise.all(["a", "b", "c"].map(async (id) => endless(worker, id)));
  const tierOfA = async () => (await worker.adapterService.getAdapter({ adapter: { id: "a" } })).adapter?.residency[0]?.tier;
  for (let round = 1; round <= 10; round++) {
    await Promise.all(streams.map(async ({ until }) => until(20 * round)));
    expect(await tierOfA()).toBe(Tier.DEVICE);
  }
  for (const { leave } of streams) leave();
});

test("a pin that would leave no room for the turns of others is refused, until they have ended", async () => {
  const worker = await start({ adapterTurnSeconds: 0.01 });
  const pin = async (id: string) => worker.adapterService.pinAdapter({ adapter: { id }, pinned: true });
  const streams = await Promise.all(["a", "b", "c"].map(async (id) => endless(worker, id)));
  const { adapter } = await pin("a");
  const bytes = Number(adapter?.bytes);
  const refusal = await pin("b").catch((error: unknown) => error);
  expect(refusal).toMatchObject({ code: Status.RESOURCE_EXHAUSTED });
  expect(String(refusal)).toContain(`${2 * bytes} of ${ROOM} bytes for adapters would be pinned, where adapters in use need ${bytes}`);
  await Promise.all(streams.map(async ({ until }) => until(200)));
  for (const { leave } of streams) leave();
  const usesOf = async (id: string) => (await worker.adapterService.getAdapter({ adapter: { id } })).adapter?.residency[0]?.references;
  for (const id of ["b", "c"]) while ((await usesOf(id)) !== 0);
  expect((await pin("b")).adapter?.residency[0]).toMatchObject({ tier: Tier.DEVICE, pinned: true });
  expect(String(await pin("c").catch((error: unknown) => error))).toContain(`${3 * bytes} of ${ROOM} bytes for adapters would be pinned;`);
});

test("a pin ends rather than that streams wait for ever, when a name's next content is too large to share the room", async () => {
  const worker = await start({ adapterTurnSeconds: 0.01 });
  await worker.adapterService.pinAdapter({ adapter: { id: "a" }, pinned: true });
  const streams = await Promise.all(["b", "c"].map(async (id) => endless(worker, id)));
  await writeTinyAdapter(join(worker.adapters, "a"), { rank: 16, targets: ["q_proj", "k_proj", "v_proj"] });
  const { adapter } = await worker.adapterService.loadAdapter({ adapter: { id: "a" } });
  expect(Number(adapter?.bytes)).toBeGreaterThan(ROOM / 2);
  await Promise.all(streams.map(async ({ until }) => until(200)));
  const now = await worker.adapterService.getAdapter({ adapter: { id: "a" } });
  expect(now.adapter?.residency[0]?.pinned).toBe(false);
  for (const { leave } of streams) leave();
});

test("without turns, adapters in use stay to the end of their use", async () => {
  const worker = await start({ adapterTurnSeconds: 0, adapterWaitSeconds: 0.05 });
  const streams = [await endless(worker, "a"), await endless(worker, "b")];
  await expect(collect(worker.inference.generate(request("hello", { adapter: { id: "c" } })))).rejects.toThrow(/no room/);
  for (const { leave } of streams) leave();
});
