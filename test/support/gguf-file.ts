/** A metadata value: texts as they are, all else with its type. */
export type GgufField =
  | string
  | { readonly u32: number }
  | { readonly f32: number }
  | { readonly bool: boolean }
  | { readonly strings: readonly string[] }
  | { readonly i32s: readonly number[] }
  | { readonly f32s: readonly number[] };

/** A tensor in F32, slowest dimension first. */
export interface GgufTensor {
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
  for (const { name, shape, values } of tensors) {
    head.push(text(name), u32(shape.length), ...[...shape].reverse().map(u64), u32(0), u64(offset));
    const bytes = padded(Buffer.from(values.buffer, values.byteOffset, values.byteLength));
    data.push(bytes);
    offset += bytes.length;
  }
  return Buffer.concat([padded(Buffer.concat(head)), ...data]);
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
