import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Polygraft } from "@polygraft/client";
import { afterEach, expect, test } from "vitest";
import { accepted, delta, finished, serveScript } from "../../../test/support/scripted-service.js";
import { runCase } from "./run-case.js";
import { median } from "./statistics.js";
import { writeRandomSafetensors } from "./write-safetensors.js";

const cleanups: (() => unknown)[] = [];
afterEach(() => Promise.all(cleanups.splice(0).map((cleanup) => cleanup())));

test("the median is the middle", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([7])).toBe(7);
  expect(median([])).toBeNaN();
});

test("all streams of a case run at once, with adapters in turn and prompts that differ", async () => {
  const adapters: string[] = [];
  const prompts = new Set<string>();
  let waiting = 0;
  let release!: () => void;
  const together = new Promise<void>((resolve) => (release = resolve));
  const server = await serveScript(async function* (request) {
    adapters.push(request.adapter?.id ?? "");
    prompts.add(JSON.stringify(request.prompt));
    waiting += 1;
    if (waiting === 5) release();
    await together;
    yield accepted(request.requestId);
    yield delta("a", 1, 2);
    yield finished(2);
  });
  const client = new Polygraft({ address: server.address });
  cleanups.push(() => client.close(), () => server.close());
  const setup = { streams: 5, adapters: ["x", "y"], promptTokens: 4, outputTokens: 2, vocabularySize: 100 };
  const run = await runCase(client, setup, 0, new AbortController().signal);
  expect(adapters.sort()).toEqual(["x", "x", "x", "y", "y"]);
  expect(prompts.size).toBe(5);
  expect(run.tokensPerSecond).toBeGreaterThan(0);
});

test("random tensors are written as safetensors lays them out, with the deviation asked for", async () => {
  const folder = await mkdtemp(join(tmpdir(), "polygraft-"));
  cleanups.push(() => rm(folder, { recursive: true }));
  const path = join(folder, "x.safetensors");
  await writeRandomSafetensors(path, [
    { name: "a", shape: [3, 5], deviation: 1 },
    { name: "b", shape: [1200, 1000], deviation: 0.5 },
  ]);
  expect(await readdir(folder)).toEqual(["x.safetensors"]);
  const file = await readFile(path);
  const headerBytes = Number(file.readBigUInt64LE(0));
  expect(headerBytes % 8).toBe(0);
  const header = JSON.parse(file.subarray(8, 8 + headerBytes).toString("utf8")) as object;
  expect(header).toEqual({
    a: { dtype: "BF16", shape: [3, 5], data_offsets: [0, 30] },
    b: { dtype: "BF16", shape: [1200, 1000], data_offsets: [30, 2_400_030] },
  });
  const data = file.subarray(8 + headerBytes);
  expect(data.length).toBe(2_400_030);
  const values = Array.from({ length: 1_200_000 }, (_, index) => {
    const bits = Buffer.alloc(4);
    bits.writeUInt16LE(data.readUInt16LE(30 + index * 2), 2);
    return bits.readFloatLE();
  });
  const variance = values.reduce((sum, value) => sum + value * value, 0) / values.length;
  expect(Math.sqrt(variance)).toBeCloseTo(0.5, 2);
});
