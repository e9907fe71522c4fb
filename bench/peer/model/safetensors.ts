import { paddedSize, writeTensorFile } from "./files.js";
import type { Tensor } from "./files.js";

/** Writes a safetensors file. */
export async function writeSafetensors(path: string, tensors: readonly Tensor<"BF16" | "F16">[]): Promise<void> {
  let offset = 0;
  const entries = tensors.map((tensor) => {
    const begin = offset;
    offset += paddedSize(tensor, 1);
    return [tensor.name, { dtype: tensor.type, shape: tensor.shape, data_offsets: [begin, offset] }];
  });
  const json = JSON.stringify(Object.fromEntries(entries));
  const text = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  await writeTensorFile(path, Buffer.concat([length, text]), tensors, 1);
}
