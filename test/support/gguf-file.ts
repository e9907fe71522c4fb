/** A metadata value: texts as they are, all else with its type. */
export type GgufField =
  | string
  | { readonly u32: number }
  | { readonly f32: number }
  | { readonly bool: boolean }
  | { readonly strings: readonly string[] }
  | { readonly i32s: readonly number[] }
  | { readonly f32s: readonly number[] };

/** A tensor, slowest dimension first. */
export interface GgufTensor {
  /** Default: F32. */
  readonly type?: "F32" | "Q8_0";
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

const ALIGNMENT = 32;

/** The bytes of a GGUF file, version 3. */
export function encodeGguf(fields: Readonly<Record<string, GgufField>>, tensors: readonly GgufTensor[] = []): Buffer {
  const head = [Buffer.from("GGUF"), u32(3), u64(tensors.length), u64(Object.keys(fields).length)];
  for (const [key, value] of Object.entries(fields)) head.push(text(key), ...field(value));
  const data: Buffer[] = [];
  let offset = 0;
  for (const { name, shape, values, type = "F32" } of tensors) {
    head.push(text(name), u32(shape.length), ...[...shape].reverse().map(u64), u32(type === "F32" ? 0 : 8), u64(offset));
    const bytes = padded(type === "F32" ? Buffer.from(values.buffer, values.byteOffset, values.byteLength) : q8_0(values));
    data.push(bytes);
    offset += bytes.length;
  }
  return Buffer.concat([padded(Buffer.concat(head)), ...data]);
}

/** Blocks of 32 weights: a scale in fp16, here a power of two, and codes in int8. */
function q8_0(values: Float32Array): Buffer {
  const blocks: Buffer[] = [];
  for (let at = 0; at < values.length; at += 32) {
    const weights = values.subarray(at, at + 32);
    const exponent = Math.max(-14, Math.ceil(Math.log2(Math.max(...weights.map(Math.abs)) / 127)));
    const block = Buffer.alloc(34);
    block.writeUInt16LE((exponent + 15) << 10);
    weights.forEach((weight, i) => block.writeInt8(Math.round(weight / 2 ** exponent), 2 + i));
    blocks.push(block);
  }
  return Buffer.concat(blocks);
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes], Math.ceil(bytes.length / ALIGNMENT) * ALIGNMENT);
}

function field(value: GgufField): Buffer[] {
  if (typeof value === "string") return [u32(8), text(value)];
  if ("u32" in value) return [u32(4), u32(value.u32)];
  if ("f32" in value) return [u32(6), f32(value.f32)];
  if ("bool" in value) return [u32(7), Buffer.of(value.bool ? 1 : 0)];
  if ("strings" in value) return [u32(9), u32(8), u64(value.strings.length), ...value.strings.map(text)];
  if ("i32s" in value) return [u32(9), u32(5), u64(value.i32s.length), ...value.i32s.map(u32)];
  return [u32(9), u32(6), u64(value.f32s.length), ...value.f32s.map(f32)];
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(bytes.length), bytes]);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function f32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}
