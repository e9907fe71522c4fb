import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { projections } from "../shapes.js";
import type { Shape } from "../shapes.js";
import { writeGguf } from "./gguf.js";
import { Random } from "./random.js";
import { ggufRow } from "./rotary.js";
import { writeSafetensors } from "./safetensors.js";

const ggmlF16 = 1;

/** Values made once for an adapter and repeated. */
const poolValues = 1 << 17;

/** How large the product of an adapter is. */
export interface AdapterSize {
  readonly rank: number;
  readonly alpha: number;
}

/** Writes a random LoRA adapter on all linear layers, as a PEFT folder and as a GGUF file: the same numbers in f16. */
export async function writeAdapter(shape: Shape, index: number, folder: string, gguf: string, size: AdapterSize): Promise<void> {
  await writePeftAdapter(shape, index, folder, size);
  await writeGguf(
    gguf,
    {
      "general.architecture": "llama",
      "general.type": "adapter",
      "adapter.type": "lora",
      "adapter.lora.alpha": { f32: size.alpha },
    },
    matricesOf(shape, index, size.rank).map((matrix) => ({ ...matrix, name: matrix.gguf, type: ggmlF16, row: matrix.ggufRow })),
  );
}

/** The PEFT folder of it alone. */
export async function writePeftAdapter(shape: Shape, index: number, folder: string, { rank, alpha }: AdapterSize): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(
    join(folder, "adapter_config.json"),
    JSON.stringify({
      peft_type: "LORA",
      task_type: "CAUSAL_LM",
      base_model_name_or_path: `random-${shape.name}`,
      r: rank,
      lora_alpha: alpha,
      bias: "none",
      target_modules: projections(shape).map(({ path }) => path.slice(path.indexOf(".") + 1)),
    }),
  );
  await writeSafetensors(
    join(folder, "adapter_model.safetensors"),
    matricesOf(shape, index, rank).map((matrix) => ({ ...matrix, type: "F16" as const })),
  );
}

interface Matrix {
  /** Its names in PEFT folders and in GGUF files. */
  readonly name: string;
  readonly gguf: string;
  readonly shape: readonly [rows: number, columns: number];
  readonly rowBytes: number;
  row(index: number): Buffer;
  ggufRow(index: number): Buffer;
}

function matricesOf(shape: Shape, index: number, rank: number): Matrix[] {
  const pool = randomHalves(poolValues + Math.max(shape.hidden, shape.ffn), index + 1);
  const matrix = (name: string, gguf: string, rows: number, columns: number, rotatedHeads?: number): Matrix => {
    const row = (at: number): Buffer => {
      const start = (at * 7919) % poolValues;
      return pool.subarray(start * 2, (start + columns) * 2);
    };
    return { name, gguf, shape: [rows, columns], rowBytes: columns * 2, row, ggufRow: (at) => row(ggufRow(at, rows, rotatedHeads)) };
  };
  return Array.from({ length: shape.layers }, (_, layer) =>
    projections(shape).flatMap(({ path, gguf, outputs, inputs, rotatedHeads }) => {
      const [name, blk] = [`base_model.model.model.layers.${layer}.${path}`, `blk.${layer}.${gguf}.weight`];
      return [
        matrix(`${name}.lora_A.weight`, `${blk}.lora_a`, rank, inputs),
        matrix(`${name}.lora_B.weight`, `${blk}.lora_b`, outputs, rank, rotatedHeads),
      ];
    }),
  ).flat();
}

/** Half-precision numbers of either sign between 1/128 and 1/32, with so few bits that bfloat16 holds them as well. */
function randomHalves(count: number, seed: number): Buffer {
  const random = new Random(seed);
  const out = Buffer.alloc(count * 2);
  for (let i = 0; i < count; i++) {
    const [sign, exponent, mantissa] = [random.below(2), 8 + random.below(2), random.below(128) << 3];
    out.writeUInt16LE((sign << 15) | (exponent << 10) | mantissa, i * 2);
  }
  return out;
}
