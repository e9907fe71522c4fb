import { paddedSize, writeTensorFile } from "./files.js";
import type { Tensor } from "./files.js";

/** A metadata value: texts and lists as they are, numbers with their type. */
export type GgufValue =
  | string
  | { readonly u32: number }
  | { readonly f32: number }
  | { readonly strings: readonly string[] }
  | { readonly f32s: readonly number[] }
  | { readonly i32s: readonly number[] };

const alignment = 32;
const types = { u32: 4, i32: 5, f32: 6, string: 8, array: 9 } as const;

/** Writes a GGUF file, version 3. A tensor's `type` is ggml's number. */
export async function writeGguf(
  path: string,
  metadata: Readonly<Record<string, GgufValue>>,
  tensors: readonly Tensor<number>[],
): Promise<void> {
  const parts = [Buffer.from("GGUF"), u32(3), u64(tensors.length), u64(Object.keys(metadata).length)];
  for (const [key, value] of Object.entries(metadata)) parts.push(text(key), ...encoded(value));
  let offset = 0;
  for (const tensor of tensors) {
    parts.push(text(tensor.name), u32(tensor.shape.length));
    for (const size of [...tensor.shape].reverse()) parts.push(u64(size));
    parts.push(u32(tensor.type), u64(offset));
    offset += paddedSize(tensor, alignment);
  }
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  parts.push(Buffer.alloc(Math.ceil(size / alignment) * alignment - size));
  await writeTensorFile(path, Buffer.concat(parts), tensors, alignment);
}

function encoded(value: GgufValue): Buffer[] {
  if (typeof value === "string") return [u32(types.string), text(value)];
  if ("u32" in value) return [u32(types.u32), u32(value.u32)];
  if ("f32" in value) return [u32(types.f32), f32(value.f32)];
  if ("strings" in value) return [...array(types.string, value.strings.length), ...value.strings.map(text)];
  if ("f32s" in value) return [...array(types.f32, value.f32s.length), ...value.f32s.map(f32)];
  return [...array(types.i32, value.i32s.length), ...value.i32s.map(u32)];
}

function array(type: number, length: number): Buffer[] {
  return [u32(types.array), u32(type), u64(length)];
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(bytes.length), bytes]);
}

function u32(value: number): Buffer {
  const out = Buffer.alloc(4);
  out.writeUInt32LE(value);
  return out;
}

function u64(value: number): Buffer {
  const out = Buffer.alloc(8);
  out.writeBigUInt64LE(BigInt(value));
  return out;
}

function f32(value: number): Buffer {
  const out = Buffer.alloc(4);
  out.writeFloatLE(value);
  return out;
}
