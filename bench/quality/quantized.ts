import { access } from "node:fs/promises";
import { join } from "node:path";
import { quantizeModel } from "@polygraft/worker";
import type { Variant } from "./schemes.js";
import type { Subject } from "./subjects.js";

/**
 * The folder of a subject quantized as a variant says, in `folder`, made where there is none yet: activations share it.
 * `calibration`: texts for variants that are calibrated.
 */
export async function quantized(
  { model }: Subject,
  { weights, headBits }: Variant,
  calibration: string | undefined,
  folder: string,
  onProgress: (line: string) => void,
): Promise<string> {
  const name = `${weights.name.replaceAll(/[^a-z0-9_]+/g, "-")}-head${headBits}`;
  const output = join(folder, name);
  if (await access(output).then(() => true, () => false)) return output;
  onProgress(`quantizing: ${name}`);
  await quantizeModel({ model, output, headBits, ...weights.options, ...(weights.calibrated && calibration !== undefined ? { calibrate: calibration } : {}) });
  return output;
}
