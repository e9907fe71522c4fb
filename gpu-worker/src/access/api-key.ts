import { readFile } from "node:fs/promises";

/** The key that a worker sends to its routers, as it is now. */
export type ApiKeySource = () => Promise<string | undefined>;

/**
 * The key itself, or what a file holds each time that it is asked for: so it can be replaced while the worker runs. Of the
 * file counts the first line that is not blank and does not begin with "#", as routers read theirs.
 * @throws Error if the file cannot be read or holds no key, now or later; it never repeats what the file holds.
 */
export async function openApiKey(key: string | undefined, file: string | undefined): Promise<ApiKeySource> {
  if (file === undefined) return async () => key;
  if (key !== undefined) throw new RangeError("apiKey and apiKeyFile exclude each other");
  await readKey(file);
  return async () => readKey(file);
}

async function readKey(file: string): Promise<string> {
  const lines = (await readFile(file, "utf8")).split("\n").map((line) => line.trim());
  const key = lines.find((line) => line !== "" && !line.startsWith("#"));
  if (key === undefined) throw new Error(`${file} holds no API key: write it in a line of its own`);
  if (!/^[\x21-\x7e]+$/.test(key)) throw new Error(`${file} holds no API key: one has neither blanks nor characters beyond ASCII`);
  return key;
}
