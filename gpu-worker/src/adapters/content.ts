import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";

/** PEFT's config file. */
export const CONFIG_FILE = "adapter_config.json";
/** PEFT's weights. */
export const WEIGHTS_FILE = "adapter_model.safetensors";

const FILES = [CONFIG_FILE, WEIGHTS_FILE] as const;
const MAX_CONFIG_BYTES = 1024 * 1024;

/** Inode, size and times of an adapter's files: another stamp means that the content may have changed. */
export type Stamp = string;

/** The stamp of the files as they are now. Rejects with ENOENT if one is missing. */
export async function stampOf(directory: string): Promise<Stamp> {
  const stats = await Promise.all(FILES.map(async (name) => stat(join(directory, name), { bigint: true })));
  return stats.map(({ dev, ino, size, mtimeNs, ctimeNs }) => [dev, ino, size, mtimeNs, ctimeNs].join(":")).join(",");
}

/**
 * The digest of an adapter: "sha256:" and the SHA-256, in hexadecimal, over one line for each of adapter_config.json
 * and adapter_model.safetensors, in this order: the file's name, a space, the hexadecimal SHA-256 of its content, a
 * newline. Names of folders and other files do not count.
 */
export async function digestOf(directory: string): Promise<string> {
  const lines = createHash("sha256");
  for (const name of FILES) {
    const file = createHash("sha256");
    await pipeline(createReadStream(join(directory, name), { highWaterMark: 1024 * 1024 }), file);
    lines.update(`${name} ${file.digest("hex")}\n`);
  }
  return `sha256:${lines.digest("hex")}`;
}

/** What an adapter's config says, for lists. The engine reads the config on its own and in full. */
export interface AdapterCard {
  readonly baseModel: string;
  /** Largest rank, as far as the config says. */
  readonly rank: number;
  readonly targetModules: readonly string[];
}

const EMPTY_CARD: AdapterCard = { baseModel: "", rank: 0, targetModules: [] };

/** Reads the card. A config that cannot be read gives an empty one: the engine will say what is wrong with it. */
export async function readCard(directory: string): Promise<AdapterCard> {
  try {
    const path = join(directory, CONFIG_FILE);
    if ((await stat(path)).size > MAX_CONFIG_BYTES) return EMPTY_CARD;
    return cardOf(JSON.parse(await readFile(path, "utf8")) as Readonly<Record<string, unknown>> | null);
  } catch {
    return EMPTY_CARD;
  }
}

function cardOf(config: Readonly<Record<string, unknown>> | null): AdapterCard {
  const base = config?.["base_model_name_or_path"];
  const targets = config?.["target_modules"];
  const patterns = Object.values((config?.["rank_pattern"] ?? {}) as Readonly<Record<string, unknown>>);
  const ranks = [config?.["r"], ...patterns].filter((rank) => Number.isInteger(rank)) as number[];
  return {
    baseModel: typeof base === "string" ? base : "",
    rank: Math.max(0, ...ranks),
    targetModules: typeof targets === "string" ? [targets] : strings(targets),
  };
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}
