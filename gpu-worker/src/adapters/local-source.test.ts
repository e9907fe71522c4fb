import { mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { temporaryFolder } from "../../../test/support/temporary-folder.js";
import { Failure } from "../failure.js";
import { CONFIG_FILE, digestOf, readCard, stampOf, WEIGHTS_FILE } from "./content.js";
import { LocalSource } from "./local-source.js";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let root: string;
let source: LocalSource;
beforeEach(async () => {
  folder = await temporaryFolder();
  root = join(folder.path, "adapters");
  await mkdir(root);
  source = await LocalSource.open(root);
});
afterEach(async () => folder[Symbol.asyncDispose]());

async function adapter(path: string, config: object = { r: 4 }): Promise<string> {
  await mkdir(path, { recursive: true });
  await writeFile(join(path, CONFIG_FILE), JSON.stringify(config));
  await writeFile(join(path, WEIGHTS_FILE), "weights");
  return path;
}

const names = async (): Promise<string[]> =>
  (await source.scan()).map(({ id, revision }) => (revision ? `${id}@${revision}` : id)).sort();

const forbidden = { reason: "ADAPTER_SOURCE_FORBIDDEN" };

test("every PEFT folder below the root is an adapter, named by its path", async () => {
  await adapter(join(root, "a"));
  await adapter(join(root, "acme", "support"));
  await adapter(join(root, "acme", "support@v2"));
  await mkdir(join(root, "empty"));
  await adapter(join(root, ".hidden"));
  expect(await names()).toEqual(["a", "acme/support", "acme/support@v2"]);
  expect(await source.find("acme/support", "v2")).toMatchObject({
    id: "acme/support",
    revision: "v2",
    directory: join(root, "acme", "support@v2"),
    source: "file:acme/support@v2",
  });
});

test("without a revision the plain folder is meant, else the latest version by number", async () => {
  for (const version of ["v9", "v10", "v1"]) await adapter(join(root, `x@${version}`));
  expect(await source.find("x", "")).toMatchObject({ revision: "v10" });
  await adapter(join(root, "x"));
  expect(await source.find("x", "")).toMatchObject({ revision: "" });
});

test("a folder dropped in is found without a scan", async () => {
  expect(await source.find("new", "")).toBeUndefined();
  await adapter(join(root, "new"));
  expect(await source.find("new", "")).toMatchObject({ id: "new" });
});

test.each(["../secret", "/etc", "a/../../secret", "..", "a\\b"])("%s leads out of the root", async (id) => {
  await adapter(join(folder.path, "secret"));
  await expect(source.find(id, "")).rejects.toMatchObject(forbidden);
});

test.each(["", ".", "./a", "a/", "a//b", "a/.", "none"])("%j is nobody's name", async (id) => {
  await adapter(join(root, "a"));
  await adapter(join(root, "a", "b"));
  expect(await source.find(id, "")).toBeUndefined();
});

test("a link out of the root is refused: the folder, its parent or a file in it", async () => {
  const outside = await adapter(join(folder.path, "outside", "x"));
  await symlink(outside, join(root, "link"));
  await symlink(join(folder.path, "outside"), join(root, "parent"));
  await adapter(join(root, "file"));
  await rm(join(root, "file", WEIGHTS_FILE));
  await symlink(join(outside, WEIGHTS_FILE), join(root, "file", WEIGHTS_FILE));
  for (const name of ["link", "parent/x", "file"]) {
    await expect(source.find(name, "")).rejects.toMatchObject(forbidden);
    await expect(source.find(name, "")).rejects.toBeInstanceOf(Failure);
  }
  expect(await names()).toEqual([]);
});

test("links within the root are fine, also in circles", async () => {
  await adapter(join(root, "store", "abc"));
  await symlink(join(root, "store", "abc"), join(root, "current"));
  await symlink(root, join(root, "store", "circle"));
  await symlink(join(root, "dangling-target"), join(root, "dangling"));
  expect(await names()).toEqual(["current", "store/abc"]);
});

test("the root may be a link itself, and must be a folder", async () => {
  await adapter(join(root, "a"));
  await symlink(root, join(folder.path, "alias"));
  expect(await (await LocalSource.open(join(folder.path, "alias"))).find("a", "")).toMatchObject({ id: "a" });
  await expect(LocalSource.open(join(root, "a", CONFIG_FILE))).rejects.toThrow(/is no folder/);
  await expect(LocalSource.open(join(root, "none"))).rejects.toThrow(/ENOENT/);
});

test("the digest covers config and weights, and nothing else", async () => {
  const one = await adapter(join(root, "one"));
  const two = await adapter(join(root, "two"));
  await writeFile(join(two, "README.md"), "differs");
  const digest = await digestOf(one);
  // sha256 over "adapter_config.json <sha256>\nadapter_model.safetensors <sha256>\n", by sha256sum.
  expect(digest).toBe("sha256:861e8ec8e9cf30fdf1ae3fd22dff984b00bac230b6080c3651b9e4cd299aae88");
  expect(await digestOf(two)).toBe(digest);
  await writeFile(join(two, CONFIG_FILE), '{"r":5}');
  expect(await digestOf(two)).not.toBe(digest);
});

test("a stamp changes with the files", async () => {
  const path = await adapter(join(root, "a"));
  const before = await stampOf(path);
  expect(await stampOf(path)).toBe(before);
  await adapter(join(root, "b"));
  await rename(join(root, "b", WEIGHTS_FILE), join(path, WEIGHTS_FILE));
  expect(await stampOf(path)).not.toBe(before);
});

test("the card says what the config says, and is empty where it says nonsense", async () => {
  const config = { base_model_name_or_path: "tiny", r: 4, rank_pattern: { q_proj: 16 }, target_modules: ["q_proj"] };
  expect(await readCard(await adapter(join(root, "a"), config))).toEqual({
    baseModel: "tiny",
    rank: 16,
    targetModules: ["q_proj"],
  });
  const empty = { baseModel: "", rank: 0, targetModules: [] };
  expect(await readCard(await adapter(join(root, "b"), { r: "x", target_modules: 3 }))).toEqual(empty);
  expect(await readCard(join(root, "none"))).toEqual(empty);
});
