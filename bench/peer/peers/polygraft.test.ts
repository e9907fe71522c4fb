import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Driver } from "../driver.js";
import { repository } from "../paths.js";
import { buildPolygraftDriver } from "./polygraft.js";

let cache = "";
let driver: Driver;
beforeAll(async () => {
  cache = await mkdtemp(join(tmpdir(), "polygraft-"));
  const model = join(repository, "test/golden/llama2");
  driver = await Driver.start("polygraft", { command: await buildPolygraftDriver(cache), args: [model, "1", cache, "f16", "source"] });
});
afterAll(async () => {
  await driver?.stop();
  await rm(cache, { recursive: true, force: true });
});

const setup = { streams: 3, context: 5, adapters: 0, tokens: 4 };

test.each(["decode", "prefill", "serve"] as const)("the engine's driver measures %s, again and again", async (kind) => {
  expect(await driver.setup({ kind, ...setup })).toEqual({ ready: true, note: "" });
  expect(await driver.measure()).toBeGreaterThan(0);
  expect(await driver.measure()).toBeGreaterThan(0);
  await driver.end();
});

test("a case that needs more adapters than there are is an error, and the driver lives on", async () => {
  await expect(driver.setup({ kind: "decode", ...setup, adapters: 8 })).rejects.toThrow("there are not so many adapters");
  expect(driver.device).toMatch(/^cpu\/\w+, w4-g32$/);
  await driver.setup({ kind: "decode", ...setup });
  expect(await driver.measure()).toBeGreaterThan(0);
  await driver.end();
});
