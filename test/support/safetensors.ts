import { writeFile } from "node:fs/promises";

/** A float32 tensor: row-major values and their shape. */
export interface Tensor {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** A tensor of another type: its bytes in order, and its shape. */
export interface TypedTensor {
  readonly dtype: "F32" | "F16" | "I32" | "U8";
  readonly shape: readonly number[];
  readonly values: Float32Array | Uint16Array | Int32Array | Uint8Array;
}

/** Writes tensors as one safetensors file: 8 bytes header length, JSON header, raw little-endian data. */
export async function writeSafetensors(path: string, tensors: ReadonlyMap<string, Tensor | TypedTensor>): Promise<void> {
  const header: Record<string, unknown> = { __metadata__: { format: "pt" } };
  let offset = 0;
  for (const [name, tensor] of tensors) {
    const { shape, values } = tensor;
    header[name] = { dtype: "dtype" in tensor ? tensor.dtype : "F32", shape, data_offsets: [offset, offset + values.byteLength] };
    offset += values.byteLength;
  }
  const json = JSON.stringify(header);
  const text = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8, " "));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const data = [...tensors.values()].map(({ values }) =>
    Buffer.from(values.buffer, values.byteOffset, values.byteLength),
  );
  await writeFile(path, Buffer.concat([length, text, ...data]));
}
