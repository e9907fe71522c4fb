import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { writeGguf } from "./gguf.js";
import { writeSafetensors } from "./safetensors.js";

let folder = "";
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), "polygraft-"))));
afterEach(() => rm(folder, { recursive: true }));

const matrix = { name: "m", shape: [2, 3], rowBytes: 6, row: (row: number) => Buffer.alloc(6, row + 1) };
const vector = { name: "v", shape: [2], rowBytes: 4, row: () => Buffer.alloc(4, 9) };

test("safetensors are laid out as their header says", async () => {
  const path = join(folder, "x.safetensors");
  await writeSafetensors(path, [{ ...matrix, type: "BF16" }, { ...vector, type: "F16" }]);
  const file = await readFile(path);
  const size = Number(file.readBigUInt64LE(0));
  expect(size % 8).toBe(0);
  expect(JSON.parse(file.subarray(8, 8 + size).toString())).toEqual({
    m: { dtype: "BF16", shape: [2, 3], data_offsets: [0, 12] },
    v: { dtype: "F16", shape: [2], data_offsets: [12, 16] },
  });
  expect([...file.subarray(8 + size)]).toEqual([1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 9, 9, 9, 9]);
});

test("GGUF is laid out as its specification says", async () => {
  const path = join(folder, "x.gguf");
  await writeGguf(path, { text: "hi", number: { u32: 7 }, list: { strings: ["a", "bc"] } }, [
    { ...matrix, type: 2 },
    { ...vector, type: 0 },
  ]);
  const file = await readFile(path);
  let at = 0;
  const u32 = (): number => file.readUInt32LE((at += 4) - 4);
  const u64 = (): number => Number(file.readBigUInt64LE((at += 8) - 8));
  const text = (): string => {
    const length = u64();
    return file.subarray(at, (at += length)).toString();
  };
  expect(file.subarray(0, (at += 4)).toString()).toBe("GGUF");
  expect([u32(), u64(), u64()]).toEqual([3, 2, 3]);
  expect([text(), u32(), text()]).toEqual(["text", 8, "hi"]);
  expect([text(), u32(), u32()]).toEqual(["number", 4, 7]);
  expect([text(), u32(), u32(), u64(), text(), text()]).toEqual(["list", 9, 8, 2, "a", "bc"]);
  expect([text(), u32(), u64(), u64(), u32(), u64()]).toEqual(["m", 2, 3, 2, 2, 0]);
  expect([text(), u32(), u64(), u32(), u64()]).toEqual(["v", 1, 2, 0, 32]);
  const data = Math.ceil(at / 32) * 32;
  expect([...file.subarray(data, data + 13)]).toEqual([1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 0]);
  expect([...file.subarray(data + 32, data + 36)]).toEqual([9, 9, 9, 9]);
  expect(file.length).toBe(data + 64);
});
