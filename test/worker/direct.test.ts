import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Polygraft } from "@polygraft/client";
import type { GenerateRequest, GenerationResult } from "@polygraft/client";
import { expect, test } from "vitest";
import { listed, temporaryRouter } from "../support/router-fixture.js";
import { temporaryFolder } from "../support/temporary-folder.js";
import { temporaryWorker } from "../support/worker-fixture.js";

test("straight from workers that want tokens, streams are bit for bit those through the router", async () => {
  await using folder = await temporaryFolder();
  const apiKeysFile = join(folder.path, "keys");
  await writeFile(apiKeysFile, "key-1\n");
  await using router = await temporaryRouter({ apiKeysFile });
  const options = { join: [router.address], apiKey: "key-1" };
  const adapters = { a: { seed: 1 }, b: { seed: 2 }, c: { seed: 3 } };
  await using one = await temporaryWorker(adapters, { ...options, name: "worker-1" });
  await using _ = await temporaryWorker(adapters, { ...options, name: "worker-2" });
  await listed(router, "worker-1", "worker-2");
  const { address } = router;
  await using plain = new Polygraft({ address, apiKey: "key-1", direct: false });
  await using straight = new Polygraft({ address, apiKey: "key-1", direct: true });
  await using past = new Polygraft({ address: one.worker.address, apiKey: "key-1", direct: false });
  await expect(past.generate({ prompt: "hello" }).text()).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
  const requests: GenerateRequest[] = ["a", "b", "c"].flatMap((adapter) => [
    { prompt: "hello the world", adapter, maxTokens: 24, ignoreEos: true, logprobs: true },
    { prompt: "hello", adapter, maxTokens: 24, ignoreEos: true, logprobs: true, temperature: 0.9, seed: 7 },
    { prompt: [11, 12, 13, 14], adapter, maxTokens: 8, ignoreEos: true, promptLogprobs: true },
  ]);
  const workers = new Set<string>();
  for (const request of requests) {
    const [relayed, direct] = [await plain.generate(request).final(), await straight.generate(request).final()];
    expect(contentOf(direct)).toEqual(contentOf(relayed));
    workers.add(direct.worker);
  }
  expect(workers.size).toBe(2);
  // Nobody is left who could relay.
  await router.close();
  const [request] = requests;
  expect((await straight.generate(request!).final()).text).not.toBe("");
  await expect(plain.generate(request!, { retry: false }).final()).rejects.toMatchObject({ code: "UNAVAILABLE" });
});

/** All that must not depend on the way. */
function contentOf({ text, tokenIds, logprobs, promptLogprobs, worker, seed, adapter, finishReason }: GenerationResult) {
  return { text, tokenIds, logprobs, promptLogprobs, worker, seed, adapter, finishReason };
}
