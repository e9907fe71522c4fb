import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeTinyAdapter, writeTinyModel } from "./tiny-model.js";
import type { Projection } from "./tiny-model.js";

/** A tiny model with eight adapters, as folders. */
export interface TinyFiles {
  readonly model: string;
  readonly adapters: string;
  /** Names of the adapters. */
  readonly names: readonly string[];
  remove(): Promise<void>;
}

const targets: readonly (readonly Projection[])[] = [
  ["q_proj", "v_proj"],
  ["q_proj", "k_proj", "v_proj", "o_proj"],
  ["gate_proj", "up_proj", "down_proj"],
  ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
];
const ranks = [4, 8, 16, 32, 5, 1, 64, 12];

/**
 * Writes them. The adapters differ in rank and in what they change. Processes that the test starts from now on keep their
 * caches beside them, not in the user's folder.
 */
export async function writeTinyFiles(): Promise<TinyFiles> {
  const folder = await mkdtemp(join(tmpdir(), "polygraft-tiny-"));
  process.env["XDG_CACHE_HOME"] = join(folder, "cache");
  const model = join(folder, "tiny");
  const adapters = join(folder, "adapters");
  await writeTinyModel(model);
  const names = ranks.map((rank, index) => `a${index}-r${rank}`);
  for (const [index, name] of names.entries()) {
    const chosen = targets[index % targets.length] ?? ["q_proj"];
    await writeTinyAdapter(join(adapters, name), { seed: index + 1, rank: ranks[index] ?? 8, targets: chosen });
  }
  return { model, adapters, names, remove: () => rm(folder, { recursive: true, force: true }) };
}
