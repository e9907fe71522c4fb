import { Polygraft } from "@polygraft/client";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { disturbances } from "../../bench/failover/disturb.js";
import type { DisturbanceName } from "../../bench/failover/disturb.js";
import { WiredFleet } from "../../bench/failover/fleet.js";
import { compare, requestOf, runStreams } from "../../bench/failover/streams.js";
import type { StreamResults } from "../../bench/failover/streams.js";
import { writeTinyFiles } from "../support/tiny-files.js";
import type { TinyFiles } from "../support/tiny-files.js";

// Processes start, and start again; a busy machine takes its time over that.
vi.setConfig({ testTimeout: 240_000 });

const count = 24;
const tokens = 400;

let files: TinyFiles;
let fleet: WiredFleet;
let undisturbed: StreamResults;

const requests = (number: number) => ({ ...requestOf(number, files.names, tokens), prompt: [10 + number, 20, 30] });

beforeAll(async () => {
  files = await writeTinyFiles();
  fleet = await WiredFleet.start({
    ...files,
    workers: 3,
    routerArguments: ["--heartbeat-seconds", "0.5"],
    workerArguments: ["--threads", "1"],
  });
  undisturbed = await runStreams(fleet.address, { count, atOnce: count, requests });
});

afterAll(async () => {
  await fleet?.[Symbol.asyncDispose]();
  await files?.remove();
});

describe("streams go on bit for bit, no token lost or doubled, when in mid-stream", () => {
  test.each<[string, DisturbanceName]>([
    ["a worker is killed", "kill"],
    ["a worker hangs", "hang"],
    ["a worker's machine vanishes without a goodbye", "vanish"],
  ])("%s", async (_, name) => {
    const movedBefore = fleet.moved;
    await using client = new Polygraft({ address: fleet.address });
    // A quick machine can have sent all that a worker owed before it is lost. What is said of the streams holds then, too,
    // but another round must show it for streams that were cut off.
    for (let round = 0; round < 10 && fleet.moved === movedBefore; round++) {
      await fleet.ready();
      const running = runStreams(fleet.address, { count, atOnce: count, requests });
      const watched = client.generate({ ...requests(0), maxTokens: tokens });
      const { worker } = await watched.accepted;
      const disturbed = disturbances[name](fleet, worker);
      const results = await running;
      const { text, tokenIds, logprobs } = await watched.final();
      const whole = { text, tokenIds, logprobs: logprobs.map(({ logprob }) => logprob) };
      await disturbed;
      expect(compare(undisturbed, results)).toMatchObject({ identical: count, failed: 0, messages: [], tokensLost: 0, tokensDoubled: 0 });
      expect(whole).toEqual(undisturbed[0]);
    }
    expect(fleet.moved).toBeGreaterThan(movedBefore);
  });
});

describe("and so do streams straight from the workers, which no router sees", () => {
  test.each<[string, DisturbanceName]>([
    ["a worker is killed", "kill"],
    ["a worker hangs", "hang"],
    ["a worker's machine vanishes without a goodbye", "vanish"],
  ])("%s", async (_, name) => {
    await fleet.ready();
    const movedBefore = fleet.moved;
    await using client = new Polygraft({ address: fleet.address, direct: true });
    const running = runStreams(fleet.address, { count, atOnce: count, requests, direct: true });
    const watched = client.generate({ ...requests(0), maxTokens: tokens });
    const { worker } = await watched.accepted;
    let wasCutOff = true;
    const whole = watched.final().then(({ text, tokenIds, logprobs }) => {
      wasCutOff = false;
      return { text, tokenIds, logprobs: logprobs.map(({ logprob }) => logprob) };
    });
    const disturbed = disturbances[name](fleet, worker);
    expect(wasCutOff).toBe(true);
    const results = await running;
    expect(await whole).toEqual(undisturbed[0]);
    await disturbed;
    expect(compare(undisturbed, results)).toMatchObject({ identical: count, failed: 0, messages: [], tokensLost: 0, tokensDoubled: 0 });
    expect(fleet.moved).toBe(movedBefore);
  });
});
