import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Polygraft } from "@polygraft/client";
import { expect, test, vi } from "vitest";
import { routerProcess } from "../support/router-process.js";
import { temporaryFolder } from "../support/temporary-folder.js";
import { temporaryWorker } from "../support/worker-fixture.js";

vi.setConfig({ testTimeout: 120_000 });

test("a worker joins all processes behind one address, takes the tokens of each, and joins one that comes back", async () => {
  await using folder = await temporaryFolder();
  const apiKeysFile = join(folder.path, "keys");
  await writeFile(apiKeysFile, "key-1\n");
  await using started = await routerProcess({ processes: 2, name: "r", apiKeysFile });
  const { address, said, log } = started;
  const joins = async (number: number, from = 0) => said(({ msg, process }) => msg === "worker joined" && process === number, from);
  await using _ = await temporaryWorker({ a: { seed: 1 } }, { join: [address], apiKey: "key-1" });
  await Promise.all([joins(1), joins(2)]);

  /** Connections of their own, so that both processes have some. */
  const ask = async (direct: boolean) => {
    await using client = new Polygraft({ address, apiKey: "key-1", direct });
    return await client.generate({ prompt: "hello", adapter: "a", maxTokens: 4, ignoreEos: true }).final();
  };
  for (let round = 0; round < 2; round++) {
    for (const direct of [false, true]) expect((await ask(direct)).tokenIds).toHaveLength(4);
  }

  const before = log.length;
  const { pid } = log.find(({ msg, process }) => msg === "router process started" && process === 2)!;
  process.kill(pid!, "SIGKILL");
  // The other one serves meanwhile.
  for (let round = 0; round < 4; round++) expect((await ask(false)).tokenIds).toHaveLength(4);
  await joins(2, before);
  // To the other one the worker has stayed joined.
  expect(log.filter(({ msg, process }) => msg === "worker left" && process === 1)).toEqual([]);
  for (let round = 0; round < 4; round++) expect((await ask(false)).tokenIds).toHaveLength(4);
});
