import { expect, test } from "vitest";
import { q4_0, q6K, q8_0, RandomRows } from "./formats.js";
import { exactBf16, halfPower } from "./numbers.js";
import { ggufRow } from "./rotary.js";

/** Reads a half, from the definition of IEEE 754. */
function half(bytes: Buffer, at: number): number {
  const bits = bytes.readUInt16LE(at);
  return (bits & 0x8000 ? -1 : 1) * 2 ** (((bits >> 10) & 31) - 15) * (1 + (bits & 1023) / 1024);
}

function bf16(bytes: Buffer): number[] {
  const bits = new Uint32Array(bytes.length / 2);
  for (let i = 0; i < bits.length; i++) bits[i] = bytes.readUInt16LE(2 * i) << 16;
  return [...new Float32Array(bits.buffer)];
}

/** The values of a row, read as GGUF's documentation lays blocks out. */
const readers = {
  q4_0: (row: Buffer): number[] =>
    blocks(row, 18).flatMap((block) => {
      const codes = [...block.subarray(2)];
      return [...codes.map((byte) => byte & 15), ...codes.map((byte) => byte >> 4)].map((code) => half(block, 0) * (code - 8));
    }),
  q8_0: (row: Buffer): number[] =>
    blocks(row, 34).flatMap((block) => Array.from({ length: 32 }, (_, i) => half(block, 0) * block.readInt8(2 + i))),
  q6K: (row: Buffer): number[] =>
    blocks(row, 210).flatMap((block) =>
      Array.from({ length: 256 }, (_, i) => {
        const [part, within] = [Math.floor(i / 128), i % 128];
        const low = (block[part * 64 + (within % 64)]! >> (within < 64 ? 0 : 4)) & 15;
        const high = (block[128 + part * 32 + (within % 32)]! >> (2 * Math.floor(within / 32))) & 3;
        return half(block, 208) * block.readInt8(192 + Math.floor(i / 16)) * (low + 16 * high - 32);
      }),
    ),
};

function blocks(row: Buffer, size: number): Buffer[] {
  return Array.from({ length: row.length / size }, (_, i) => row.subarray(i * size, (i + 1) * size));
}

test.each([
  ["q4_0", q4_0, 64],
  ["q8_0", q8_0, 64],
  ["q6K", q6K, 512],
] as const)("rows of %s are exactly their bf16 twins", (name, format, columns) => {
  const rows = new RandomRows(format, columns, 1);
  for (const row of [0, 1, 77, 123_456]) {
    const values = readers[name](rows.packed(row));
    expect(values).toHaveLength(columns);
    expect(values).toEqual(bf16(rows.bf16(row)));
    expect(new Set(values).size).toBeGreaterThan(10);
  }
  expect(rows.packed(0)).not.toEqual(rows.packed(1));
});

test("every block of q4_0 reaches both ends of its grid", () => {
  const values = readers.q4_0(new RandomRows(q4_0, 3200, 2).packed(5));
  const step = Math.max(...values) / 7;
  for (let at = 0; at < values.length; at += 32) {
    expect(Math.min(...values.slice(at, at + 32))).toBe(-8 * step);
    expect(Math.max(...values.slice(at, at + 32))).toBe(7 * step);
  }
});

test("rows that are no whole blocks are refused", () => {
  expect(() => new RandomRows(q6K, 576, 1)).toThrow("576 columns are no whole blocks");
});

test("numbers that a format cannot hold exactly are refused", () => {
  expect(exactBf16(-1.5)).toBe(0xbfc0);
  expect(() => exactBf16(1 + 2 ** -8)).toThrow("no bfloat16");
  expect(() => exactBf16(0.1)).toThrow("no bfloat16");
  expect(halfPower(0)).toBe(0x3c00);
  expect(() => halfPower(-15)).toThrow("no normal half");
});

test("the halves of rotated heads are interleaved, other rows stay", () => {
  const order = Array.from({ length: 8 }, (_, row) => ggufRow(row, 8, 2));
  expect(order).toEqual([0, 2, 1, 3, 4, 6, 5, 7]);
  expect(ggufRow(5, 8, undefined)).toBe(5);
});
