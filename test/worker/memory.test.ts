import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Polygraft } from "@polygraft/client";
import { expect, test } from "vitest";
import { Random } from "../support/random.js";
import { startCli } from "../support/run-cli.js";
import { temporaryFolder } from "../support/temporary-folder.js";

const models = join(import.meta.dirname, "../../models");
const MEMORY = 272 * 2 ** 20;
const REQUESTS = 300;
const AT_ONCE = 32;

/** Most that the process ever had in memory. */
async function peakBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

// The plan promises the whole process, from its start to whatever its clients ask for.
test.runIf(process.platform === "linux")("a worker keeps within the memory that it was given", { timeout: 240_000 }, async () => {
  await using folder = await temporaryFolder();
  const worker = startCli([
    "worker", "--model", join(models, "base"), "--adapters", join(models, "adapters"), "--cache-dir", folder.path,
    "--memory", String(MEMORY), "--threads", "2",
  ]); // prettier-ignore
  const [, address = ""] = await worker.seen(/^listening on (\S+)$/m);
  await using client = new Polygraft({ address, retry: false });
  const adapters: string[] = [];
  for await (const { identity } of client.adapters.list()) adapters.push(identity.id);

  const random = new Random(5);
  // Long texts are tokenized on a thread that has a tokenizer of its own.
  const text = "the price of the hotel is moderate and it is near the river. ".repeat(5000);
  await expect(client.generate({ prompt: text }).final()).rejects.toThrow(/tokens/);
  let left = REQUESTS;
  const lane = async (): Promise<void> => {
    while (left-- > 0) {
      const at = random.integer(1000);
      await client
        .generate({
          adapter: adapters[random.integer(adapters.length)] as string,
          prompt: text.slice(at, at + 20 + random.integer(random.integer(4) === 0 ? 2000 : 200)),
          maxTokens: 1 + random.integer(60),
          ignoreEos: true,
          logprobs: true,
          topLogprobs: random.integer(21),
          promptLogprobs: random.integer(4) === 0,
        })
        .final();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  const peak = await peakBytes(worker.process.pid ?? 0);
  worker.process.kill("SIGTERM");
  const { code, stderr } = await worker.result;
  expect(code).toBe(0);
  expect(peak).toBeLessThan(MEMORY);

  const plan = stderr.split("\n").filter((line) => line.includes('"the memory plan"')).map((line) => JSON.parse(line) as Record<string, number>)[0];
  const { memoryBytes, weightBytes, kvBytes, adapterBytes, hostAdapterBytes, scratchBytes, processBytes } = plan ?? {};
  const parts = [weightBytes, kvBytes, adapterBytes, hostAdapterBytes, scratchBytes, processBytes].map(Number);
  expect(memoryBytes).toBe(MEMORY);
  // What of it cannot be made use of, such as part of a KV block, is little.
  const total = parts.reduce((sum, bytes) => sum + bytes, 0);
  expect(total).toBeLessThanOrEqual(MEMORY);
  expect(total).toBeGreaterThan(0.99 * MEMORY);
});

test("too little memory ends the start with what would do", async () => {
  const worker = startCli(["worker", "--model", join(models, "base"), "--memory", "64M"]);
  const { code, stderr } = await worker.result;
  expect(code).not.toBe(0);
  expect(stderr).toMatch(/memory is 64 MiB, at least \d+ MiB are needed/);
});
