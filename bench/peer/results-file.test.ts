import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { cases } from "./cases.js";
import { resultOf } from "./result.js";
import { ResultsFile } from "./results-file.js";

let folder = "";
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), "polygraft-"))));
afterEach(() => rm(folder, { recursive: true }));

const row = resultOf(cases[0]!, "135m", false, [{ name: "polygraft", speeds: [1], note: "" }]);

test("rows are kept, one a line, and found again", async () => {
  const path = join(folder, "rows.jsonl");
  const first = await ResultsFile.open(path);
  expect(first.has(row)).toBe(false);
  await first.add(row);
  await first.add({ ...row, shape: "1.1b" });
  const second = await ResultsFile.open(path);
  expect(second.results).toEqual([row, { ...row, shape: "1.1b" }]);
  expect(second.has(row)).toBe(true);
  expect(second.has({ ...row, neighbour: true })).toBe(false);
  expect((await readFile(path, "utf8")).split("\n")).toHaveLength(3);
});

test("without a file rows are only remembered", async () => {
  const file = await ResultsFile.open(undefined);
  await file.add(row);
  expect(file.has(row)).toBe(true);
});

test("a file of something else is refused, and left as it is", async () => {
  const path = join(folder, "notes.txt");
  await writeFile(path, `${JSON.stringify(row)}\nhello\n`);
  await expect(ResultsFile.open(path)).rejects.toThrow(`${path}, line 2 is no JSON`);
  await writeFile(path, "{}\n");
  await expect(ResultsFile.open(path)).rejects.toThrow(`${path}, line 1 is no row of this benchmark`);
});
