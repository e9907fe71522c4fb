import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { Polygraft } from "@polygraft/client";
import { LocalFleet } from "polygraft";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { allEnded, processAlive } from "../support/process-alive.js";
import { runCli, startCli } from "../support/run-cli.js";
import type { RunningCli } from "../support/run-cli.js";
import { writeTinyFiles } from "../support/tiny-files.js";
import type { TinyFiles } from "../support/tiny-files.js";

// Each test starts several processes; a busy machine takes its time over that.
vi.setConfig({ testTimeout: 240_000 });

let files: TinyFiles;
beforeAll(async () => {
  files = await writeTinyFiles();
});
afterAll(() => files.remove());

/** A running `up` with its router's address and the processes that it started. */
async function startUp(): Promise<{ up: RunningCli; address: string; pids: number[] }> {
  const up = startCli(["up", "--model", files.model, "--adapters", files.adapters, "--workers", "2", "--listen", "127.0.0.1:0"]);
  let stderr = "";
  up.process.stderr.on("data", (text: string) => (stderr += text));
  const [, address = ""] = await up.seen(/^ready: router on (\S+),/m);
  const pids = [...stderr.matchAll(/starting, process (\d+)/g)].map(([, pid]) => Number(pid));
  expect(pids).toHaveLength(3);
  expect(pids.every(processAlive)).toBe(true);
  return { up, address, pids };
}

test("up serves, and Ctrl-C stops all that it started", async () => {
  const { up, address, pids } = await startUp();
  const [, suggested = ""] = await up.seen(/^ {2}node \S+main\.js (generate .*) "Hello"$/m);
  expect(suggested).toContain(`--router ${address} --adapter a0-r4`);
  const { code } = await runCli([...suggested.split(" "), "Hello"]);
  expect(code).toBe(0);
  up.process.kill("SIGINT");
  expect((await up.result).code).toBe(0);
  expect(pids.filter(processAlive)).toEqual([]);
});

test("what up started ends with it, even when it is killed", async () => {
  const { up, pids } = await startUp();
  up.process.kill("SIGKILL");
  await allEnded(pids);
});

test("a worker that is killed is started again and serves again", async () => {
  const log: string[] = [];
  const onLog = (source: string, line: string): void => void log.push(`${source}: ${line}`);
  await using fleet = await LocalFleet.start({ model: files.model, restart: true, onLog });
  await using client = new Polygraft({ address: fleet.address });
  const before = fleet.processIds.get("worker-1")!;
  process.kill(before, "SIGKILL");
  let gone = false;
  for await (const { workers } of client.fleet.watch()) {
    const ready = workers.some(({ state }) => state === "ready");
    gone ||= !ready;
    if (gone && ready) break;
  }
  expect(fleet.processIds.get("worker-1")).not.toBe(before);
  expect(log.join("\n")).toContain("worker-1: worker-1 ended by SIGKILL");
  expect((await client.generate({ prompt: "Hello", maxTokens: 2 }).final()).worker).toBe("worker-1");
});

test("a fleet that is not to be mended reports what ended", async () => {
  await using fleet = await LocalFleet.start({ model: files.model });
  process.kill(fleet.processIds.get("router")!, "SIGKILL");
  await expect(fleet.failed).rejects.toThrow("router ended by SIGKILL");
});

test("a model that cannot be read ends the start, says why, and leaves nothing running", async () => {
  const up = startCli(["up", "--model", files.adapters, "--listen", "127.0.0.1:0"]);
  const { code, stderr } = await up.result;
  expect(code).toBe(1);
  expect(stderr).toContain(`${files.adapters} has no tokenizer.json`);
  expect(stderr).not.toContain("starting it again");
  const pids = [...stderr.matchAll(/starting, process (\d+)/g)].map(([, pid]) => Number(pid));
  expect(pids.filter(processAlive)).toEqual([]);
});

test("a port that is taken is named", async () => {
  const blocker = createServer();
  await new Promise<void>((resolve) => blocker.listen(0, "127.0.0.1", resolve));
  const { port } = blocker.address() as AddressInfo;
  const { code, stderr } = await runCli(["up", "--model", files.model, "--listen", `127.0.0.1:${port}`]);
  blocker.close();
  expect(code).toBe(1);
  expect(stderr).toContain(String(port));
});

test("Ctrl-C during the start stops it", async () => {
  const up = startCli(["up", "--model", files.model, "--listen", "127.0.0.1:0"]);
  let stderr = "";
  await new Promise<void>((resolve) => {
    up.process.stderr.on("data", (text: string) => {
      stderr += text;
      if (stderr.includes("worker-1")) resolve();
    });
  });
  up.process.kill("SIGINT");
  await up.result;
  const pids = [...stderr.matchAll(/starting, process (\d+)/g)].map(([, pid]) => Number(pid));
  expect(pids.length).toBeGreaterThan(0);
  expect(pids.filter(processAlive)).toEqual([]);
});
