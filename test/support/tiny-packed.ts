import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Random } from "./random.js";
import { writeSafetensors, type Tensor, type TypedTensor } from "./safetensors.js";
import { modelTensors, TINY_SHAPE, writeTinyModel } from "./tiny-model.js";
import { tinyTokenizer } from "./tiny-tokenizer.js";

/** Formats of other programs' 4-bit checkpoints. */
export type PackedFormat = "gptq" | "gptq-act-order" | "awq" | "nf4";

const GROUP = 32;
const BLOCK = 64;
const FP16_1_32 = 10 << 10;
const NF4 = [
  -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
  -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
];

const settings: Readonly<Record<PackedFormat, object>> = {
  gptq: { quant_method: "gptq", bits: 4, group_size: GROUP, desc_act: false, checkpoint_format: "gptq" },
  "gptq-act-order": { quant_method: "gptq", bits: 4, group_size: GROUP, desc_act: true, checkpoint_format: "gptq" },
  awq: { quant_method: "awq", bits: 4, group_size: GROUP, version: "gemm", zero_point: true },
  nf4: { quant_method: "bitsandbytes", load_in_4bit: true, bnb_4bit_quant_type: "nf4" },
};

/** The folder of `writeTinyModel`, its layers replaced by random ones in 4 bits. */
export async function writeTinyPacked(directory: string, format: PackedFormat): Promise<void> {
  await writeTinyModel(directory);
  const random = new Random(3);
  const tensors = new Map<string, Tensor | TypedTensor>();
  for (const [name, tensor] of modelTensors(TINY_SHAPE, tinyTokenizer().vocabularySize, new Random(1))) {
    if (!name.endsWith("_proj.weight")) tensors.set(name, tensor);
    else for (const [part, packed] of packedLayer(format, tensor.shape, random)) tensors.set(name.replace(/\.weight$/, part), packed);
  }
  await writeSafetensors(join(directory, "model.safetensors"), tensors);
  const path = join(directory, "config.json");
  const config = JSON.parse(await readFile(path, "utf8")) as object;
  await writeFile(path, JSON.stringify({ ...config, quantization_config: settings[format] }, undefined, 2));
}

/** The arrays of one layer by the ends of their names. */
function packedLayer(format: PackedFormat, shape: readonly number[], random: Random): [string, TypedTensor][] {
  const [n = 0, k = 0] = shape;
  const groups = k / GROUP;
  const words = (count: number): Int32Array => Int32Array.from({ length: count }, () => random.integer(2 ** 32) | 0);
  if (format === "nf4") return nf4Layer(n, k, random);
  const awq = format === "awq";
  const zero = awq ? 0x88888888 : 0x77777777; // GPTQ stores zero points less one
  const layer: [string, TypedTensor][] = [
    [".qweight", { dtype: "I32", shape: awq ? [k, n / 8] : [k / 8, n], values: words((n * k) / 8) }],
    [".qzeros", { dtype: "I32", shape: [groups, n / 8], values: new Int32Array((groups * n) / 8).fill(zero | 0) }],
    [".scales", { dtype: "F16", shape: [groups, n], values: new Uint16Array(groups * n).fill(FP16_1_32) }],
  ];
  const groupOf = (input: number): number => Math.floor(((input * 5 + 3) % k) / GROUP);
  if (format === "gptq-act-order") {
    layer.push([".g_idx", { dtype: "I32", shape: [k], values: Int32Array.from({ length: k }, (_, input) => groupOf(input)) }]);
  }
  return layer;
}

function nf4Layer(n: number, k: number, random: Random): [string, TypedTensor][] {
  const state = Buffer.from(JSON.stringify({ quant_type: "nf4", blocksize: BLOCK, shape: [n, k], dtype: "float32" }));
  const codes = Uint8Array.from({ length: (n * k) / 2 }, () => random.integer(256));
  return [
    [".weight", { dtype: "U8", shape: [(n * k) / 2, 1], values: codes }],
    [".weight.absmax", { dtype: "F32", shape: [(n * k) / BLOCK], values: new Float32Array((n * k) / BLOCK).fill(0.25) }],
    [".weight.quant_map", { dtype: "F32", shape: [16], values: Float32Array.from(NF4) }],
    [".weight.quant_state.bitsandbytes__nf4", { dtype: "U8", shape: [state.length], values: new Uint8Array(state) }],
  ];
}
