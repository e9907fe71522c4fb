import { readFile } from "node:fs/promises";
import type { ChatMessage } from "@polygraft/client";

/** What the demo asks one adapter. */
export interface DemoPrompt {
  readonly adapter: string;
  readonly prompt: string | readonly ChatMessage[];
  readonly maxTokens: number;
}

/** An entry of the prompts file. */
interface Entry {
  readonly adapter: string;
  readonly prompts: readonly (string | readonly ChatMessage[])[];
  readonly maxTokens?: number;
}

/**
 * Reads a prompts file: a list of `{ "adapter", "prompts": [text or messages, …], "maxTokens" }`. If there are fewer
 * adapters than `least` requests, several prompts of an adapter are taken.
 */
export async function readPrompts(path: string, least: number): Promise<DemoPrompt[]> {
  const entries: unknown = JSON.parse(await readFile(path, "utf8"));
  if (!Array.isArray(entries) || !entries.every(isEntry)) {
    throw new Error(`${path} is not a list of { "adapter": name, "prompts": [text, …], "maxTokens": number }`);
  }
  const chosen: DemoPrompt[] = [];
  const rounds = Math.max(...entries.map(({ prompts }) => prompts.length));
  for (let round = 0; round < rounds && (round === 0 || chosen.length < least); round++) {
    for (const { adapter, prompts, maxTokens = 48 } of entries) {
      const prompt = prompts[round];
      if (prompt !== undefined) chosen.push({ adapter, prompt, maxTokens });
    }
  }
  return chosen;
}

function isEntry(value: unknown): value is Entry {
  if (typeof value !== "object" || value === null) return false;
  const { adapter, prompts, maxTokens = 1 } = value as Partial<Entry>;
  return typeof adapter === "string" && Array.isArray(prompts) && prompts.length > 0 && typeof maxTokens === "number";
}

/** The last words of a prompt, for a table. */
export function promptTail(prompt: DemoPrompt["prompt"]): string {
  return typeof prompt === "string" ? prompt : (prompt.at(-1)?.content ?? "");
}
