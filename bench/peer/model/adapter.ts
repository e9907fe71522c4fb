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

/** Writes a random LoRA adapter on all linear layers, as a PEFT folder and as a GGUF file: the same numbers in f16. */
export async function writeAdapter(
  shape: Shape,
  index: number,
  folder: string,
  gguf: string,
  { rank, alpha }: { readonly rank: number; readonly alpha: number },
): Promise<void> {
  const pool = randomHalves(poolValues + Math.max(shape.hidden, shape.ffn), index + 1);
  const matrices = Array.from({ length: shape.layers }, (_, layer) =>
    projections(shape).flatMap(({ path, gguf: name, outputs, inputs, rotatedHeads }) => [
      {
        name: `base_model.model.model.layers.${layer}.${path}.lora_A.weight`,
        gguf: `blk.${layer}.${name}.weight.lora_a`,
        shape: [rank, inputs],
        rotatedHeads: undefined,
      },
      {
        name: `base_model.model.model.layers.${layer}.${path}.lora_B.weight`,
        gguf: `blk.${layer}.${name}.weight.lora_b`,
        shape: [outputs, rank],
        rotatedHeads,
      },
    ]),
  )
    .flat()
    .map((matrix) => {
      const [rows, columns] = matrix.shape as [number, number];
      const row = (at: number): Buffer => {
        const start = (at * 7919) % poolValues;
        return pool.subarray(start * 2, (start + columns) * 2);
      };
      return { ...matrix, rowBytes: columns * 2, row, ggufRow: (at: number) => row(ggufRow(at, rows, matrix.rotatedHeads)) };
    });
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
    matrices.map((matrix) => ({ ...matrix, type: "F16" as const })),
  );
  await writeGguf(
    gguf,
    {
      "general.architecture": "llama",
      "general.type": "adapter",
      "adapter.type": "lora",
      "adapter.lora.alpha": { f32: alpha },
    },
    matrices.map((matrix) => ({ ...matrix, name: matrix.gguf, type: ggmlF16, row: matrix.ggufRow })),
  );
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
