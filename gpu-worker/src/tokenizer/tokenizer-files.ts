import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { readGgufTokenizer } from "./gguf/tokenizer.js";

/** A JSON object of a tokenizer's files. */
export type Json = { readonly [key: string]: unknown };

/** What a Hugging Face folder says about its tokenizer. */
export interface TokenizerFiles {
  /** tokenizer.json. */
  readonly tokenizer: Json;
  /** tokenizer_config.json, or an empty object. */
  readonly config: Json;
  /** Source of the default chat template, if there is one. */
  readonly chatTemplate: string | undefined;
}

/** Larger than any vocabulary in use; a file beyond it is not read. */
const MAX_FILE_BYTES = 256 * 1024 * 1024;

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

async function readText(path: string): Promise<string | undefined> {
  try {
    const { size } = await stat(path);
    if (size > MAX_FILE_BYTES) throw new Error(`${path} has ${size} bytes; at most ${MAX_FILE_BYTES} are read`);
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

async function readJson(path: string): Promise<Json | undefined> {
  const text = await readText(path);
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`${path} is no JSON: ${(error as Error).message}`, { cause: error });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error(`${path} is no JSON object`);
  return value as Json;
}

/** A chat template is one string, or a list of named ones of which "default" is meant. */
function defaultTemplate(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (!Array.isArray(value)) return undefined;
  const named = value as readonly { readonly name?: unknown; readonly template?: unknown }[];
  const found = named.find(({ name }) => name === "default") ?? named[0];
  return typeof found?.template === "string" ? found.template : undefined;
}

/** Reads the tokenizer's files of a model folder, or what stands for them in a GGUF file. */
export async function readTokenizerFiles(directory: string): Promise<TokenizerFiles> {
  if (await isFile(directory)) return readGgufTokenizer(directory);
  const [tokenizer, config, jinja, templates] = await Promise.all([
    readJson(join(directory, "tokenizer.json")),
    readJson(join(directory, "tokenizer_config.json")),
    readText(join(directory, "chat_template.jinja")),
    readJson(join(directory, "chat_template.json")),
  ]);
  if (!tokenizer) {
    throw new Error(
      `${directory} has no tokenizer.json. transformers writes one: ` +
        "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)",
    );
  }
  const chatTemplate =
    jinja ?? defaultTemplate(templates?.["chat_template"]) ?? defaultTemplate(config?.["chat_template"]);
  return { tokenizer, config: config ?? {}, chatTemplate };
}
