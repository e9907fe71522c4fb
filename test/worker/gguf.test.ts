import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../support/temporary-folder.js";
import { writeTinyGguf } from "../support/tiny-gguf.js";
import { collect, request, temporaryWorker } from "../support/worker-fixture.js";

test("a model serves the same tokens and logprobs from a GGUF file as from its folder, adapters included", async () => {
  await using files = await temporaryFolder();
  const model = join(files.path, "tiny.gguf");
  await writeTinyGguf(model);
  const adapters = { a: { seed: 1 } };
  await using folder = await temporaryWorker(adapters);
  await using gguf = await temporaryWorker(adapters, { model });
  for (const prompt of ["hello the world", "<|im_start|>user\nand then 12 日é"]) {
    for (const adapter of [undefined, { id: "a" }]) {
      const wanted = request(prompt, { response: { logprobs: true }, ...(adapter && { adapter }) });
      const outputs = [folder, gguf].map(async ({ inference }) => collect(inference.generate(wanted)));
      // oxlint-disable-next-line no-await-in-loop -- one after the other, so that a failure names its prompt
      const [expected, actual] = await Promise.all(outputs);
      expect(actual?.accepted?.model).toBe("tiny");
      expect(actual?.text).toBe(expected?.text);
      expect(actual?.tokenIds).toEqual(expected?.tokenIds);
      expect(actual?.logprobs).toEqual(expected?.logprobs);
      expect(actual?.tokenIds.length).toBeGreaterThan(0);
    }
  }
});

test("a broken GGUF file says what is wrong with it", async () => {
  await using files = await temporaryFolder();
  const model = join(files.path, "tiny.gguf");
  await writeTinyGguf(model);
  await writeFile(model, (await readFile(model)).subarray(0, 100_000));
  await expect(temporaryWorker({}, { model })).rejects.toThrow(/tiny\.gguf.*truncated/);
});
