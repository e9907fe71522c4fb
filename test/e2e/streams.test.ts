import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { Polygraft } from "@polygraft/client";
import { LocalFleet } from "polygraft";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pythonExample, pythonWithGrpc } from "../support/python-example.js";
import { writeTinyFiles } from "../support/tiny-files.js";
import type { TinyFiles } from "../support/tiny-files.js";
import { generate, oneByOne, toOutput, workload } from "./workload.js";
import type { Output } from "./workload.js";

let files: TinyFiles;
let fleet: LocalFleet;
/** What each request gives alone, straight from one worker. */
let alone: Output[];

beforeAll(async () => {
  files = await writeTinyFiles();
  fleet = await LocalFleet.start({ model: files.model, adapters: files.adapters, workers: 2 });
  alone = await oneByOne(await fleet.workerAddress("worker-1"), workload(files.names));
});

afterAll(async () => {
  await fleet?.stop();
  await files?.remove();
});

describe("32 requests over 8 adapters", () => {
  test("give each adapter's own output, and all their tokens", () => {
    const items = workload(files.names);
    expect(alone.map(({ tokenIds }) => tokenIds.length)).toEqual(items.map((item) => item.max_tokens));
    for (const { logprobs } of alone) for (const logprob of logprobs) expect(logprob).toBeLessThanOrEqual(0);
    expect(new Set(alone.map((output) => JSON.stringify(output))).size).toBe(items.length);
  });

  test("at once through the router equal the same one by one straight from a worker, bit for bit", async () => {
    await using client = new Polygraft({ address: fleet.address });
    const results = await Promise.all(workload(files.names).map((item) => generate(client, item)));
    expect(results.map(toOutput)).toEqual(alone);
    expect(new Set(results.map(({ worker }) => worker))).toEqual(new Set(["worker-1", "worker-2"]));
    const digests = new Set(results.map(({ adapter }) => adapter?.digest));
    expect(digests.size).toBe(files.names.length);
  });

  test("equal those of the other worker too", async () => {
    expect(await oneByOne(await fleet.workerAddress("worker-2"), workload(files.names))).toEqual(alone);
  });

  test("at once from a plain generated client in Python are the same", async (context) => {
    const python = pythonWithGrpc();
    if (python === undefined) return context.skip("python3 is missing");
    const client = spawn(python, [pythonExample, "--router", fleet.address, "--json"], { stdio: ["pipe", "pipe", "inherit"] });
    client.stdin.end(workload(files.names).map((item) => JSON.stringify(item)).join("\n"));
    const lines = (await text(client.stdout)).trimEnd().split("\n");
    const answers = lines.map((line) => JSON.parse(line) as { token_ids: number[]; logprobs: number[]; text: string });
    expect(answers.map(({ token_ids: tokenIds, logprobs }) => ({ tokenIds, logprobs }))).toEqual(alone);
  }, 600_000);
});
