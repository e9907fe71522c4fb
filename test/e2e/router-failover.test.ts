import { Polygraft } from "@polygraft/client";
import type { GenerateRequest, GenerationResult } from "@polygraft/client";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { requestOf } from "../../bench/failover/streams.js";
import { ServerProcess } from "../../bench/server-process.js";
import { runCli } from "../support/run-cli.js";
import { writeTinyFiles } from "../support/tiny-files.js";
import type { TinyFiles } from "../support/tiny-files.js";

// Processes start, and are killed; a busy machine takes its time over that.
vi.setConfig({ testTimeout: 240_000 });

const count = 16;

let files: TinyFiles;
let routers: ServerProcess[];
let addresses: string[];
let workers: ServerProcess[];

const start = (args: readonly string[]) => new ServerProcess([...args, "--listen", "127.0.0.1:0"], () => {});

beforeAll(async () => {
  files = await writeTinyFiles();
  routers = [start(["router", "--name", "r1"]), start(["router", "--name", "r2"])];
  addresses = await Promise.all(routers.map(async ({ port }) => `127.0.0.1:${await port}`));
  const join = addresses.flatMap((address) => ["--join", address]);
  const serve = ["--model", files.model, "--adapters", files.adapters, "--threads", "1", ...join];
  workers = ["w1", "w2"].map((name) => start(["worker", "--name", name, ...serve]));
  await Promise.all(workers.map(({ port }) => port));
  for (const address of addresses) {
    await using client = new Polygraft({ address });
    for await (const { workers } of client.fleet.watch()) if (workers.filter(({ state }) => state === "ready").length === 2) break;
  }
});

afterAll(async () => {
  const all = [...(workers ?? []), ...(routers ?? [])];
  for (const process of all) process.signal("SIGKILL");
  await Promise.all(all.map(({ exited }) => exited));
  await files?.remove();
});

const request = (number: number): GenerateRequest => ({ ...requestOf(number, files.names, 400), prompt: [10 + number, 20, 30] });
const output = ({ text, tokenIds, logprobs }: GenerationResult) => ({ text, tokenIds, logprobs: logprobs.map(({ logprob }) => logprob) });

test("streams go on bit for bit at another router when theirs is killed in mid-stream", async () => {
  await using undisturbed = new Polygraft({ address: addresses[1]! });
  const expected = await Promise.all(Array.from({ length: count }, async (_, number) => output(await undisturbed.generate(request(number)).final())));

  await using client = new Polygraft({ address: addresses });
  const seen = new Set<number>();
  let killed = false;
  let over = 0;
  let cutOff = 0;
  const streams = Array.from({ length: count }, async (_, number) => {
    const generation = client.generate(request(number));
    for await (const event of generation) {
      if (event.type === "delta") seen.add(number);
      if (event.type === "finished") over += 1;
      if (!killed && seen.size === count) {
        killed = true;
        cutOff = count - over;
        routers[0]!.signal("SIGKILL");
      }
    }
    return output(await generation.final());
  });
  expect(await Promise.all(streams)).toEqual(expected);
  expect(cutOff).toBeGreaterThan(0);
  expect(await routers[0]!.exited).toBe("SIGKILL");

  // The command takes a list as well, and the first of it is gone.
  const list = ["--router", addresses.join(",")];
  const generated = await runCli(["generate", ...list, "--max-tokens", "4", "--json", "x"]);
  expect(generated).toMatchObject({ code: 0 });
  expect(JSON.parse(generated.stdout)).toMatchObject({ finishReason: "max-tokens" });
});
