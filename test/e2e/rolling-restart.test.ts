import { Polygraft } from "@polygraft/client";
import type { GenerationResult } from "@polygraft/client";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { WiredFleet } from "../../bench/failover/fleet.js";
import { compare, requestOf, runStreams } from "../../bench/failover/streams.js";
import { writeTinyFiles } from "../support/tiny-files.js";
import type { TinyFiles } from "../support/tiny-files.js";

// Every worker process starts again, one after another.
vi.setConfig({ testTimeout: 240_000 });

let files: TinyFiles;
let fleet: WiredFleet;

beforeAll(async () => {
  files = await writeTinyFiles();
  fleet = await WiredFleet.start({ ...files, workers: 3, workerArguments: ["--threads", "1", "--drain-seconds", "20"] });
});

afterAll(async () => {
  await fleet?.[Symbol.asyncDispose]();
  await files?.remove();
});

test.each([
  ["through the router", false],
  ["straight to the workers", true],
])("a rolling restart of all workers under load, %s, loses no request and adds no cold start; each one exits with 0", async (_, direct) => {
  const count = 8;
  const requests = (number: number) => ({ ...requestOf(number, files.names, 60), prompt: [10 + number, 20, 30] });
  /** Where the adapters were when their requests came. */
  const tiers: (string | undefined)[] = [];
  const onResult = ({ adapter, tier }: GenerationResult) => void (adapter !== undefined && tiers.push(tier));
  const run = () => runStreams(fleet.address, { count, atOnce: count, requests, direct, onResult });
  const undisturbed = await runStreams(fleet.address, { count, atOnce: count, requests, direct: false });
  const restarted = new AbortController();
  let rounds = 0;
  const load = (async () => {
    while (!restarted.signal.aborted) {
      expect(compare(undisturbed, await run())).toMatchObject({ identical: count, failed: 0, messages: [] });
      rounds += 1;
    }
  })();
  for (const name of fleet.names) {
    expect(await fleet.drain(name)).toBe(0);
    await fleet.ready();
  }
  restarted.abort();
  await load;
  expect(rounds).toBeGreaterThan(2);
  expect(tiers.length).toBeGreaterThan(count);
  expect(tiers.filter((tier) => tier !== "device")).toEqual([]);
});

test("the next owner of an adapter has it on the device when its worker has drained", async () => {
  await using client = new Polygraft({ address: fleet.address });
  const adapter = files.names[0]!;
  const { worker } = await client.generate({ prompt: "x", adapter, maxTokens: 1 }).final();
  const onDevice = async () =>
    (await client.adapters.get(adapter)).residency.filter(({ tier }) => tier === "device").map((residency) => residency.worker);
  const drained = fleet.drain(worker);
  while ((await onDevice()).every((holder) => holder === worker)) await new Promise((resolve) => setTimeout(resolve, 20));
  expect(await drained).toBe(0);
});
