import { basename } from "node:path";
import type { Json, TokenizerFiles } from "../tokenizer-files.js";
import { readGgufMetadata, type GgufValue } from "./metadata.js";
import { PRE_TOKENIZERS, type PreTokenizer } from "./pre-tokenizers.js";
import { mergesOfScores } from "./sentence-piece.js";

/** Token types of llama.cpp. */
const NORMAL = 1;
const UNKNOWN = 2;
const CONTROL = 3;
const USER_DEFINED = 4;

/**
 * The tokenizer of a GGUF file as the Hugging Face files that it was made from: byte-level BPE ("gpt2") and
 * SentencePiece BPE ("llama").
 * @throws Error naming the file and the metadata key at fault.
 */
export function readGgufTokenizer(path: string): TokenizerFiles {
  const fields = new Fields(basename(path), readGgufMetadata(path, (key) => key.startsWith("tokenizer.")));
  const tokens = fields.strings("tokenizer.ggml.tokens");
  const types = fields.has("tokenizer.ggml.token_type") ? fields.numbers("tokenizer.ggml.token_type") : tokens.map(() => NORMAL);
  if (types.length !== tokens.length) fields.refuse("tokenizer.ggml.token_type", `has ${types.length} entries for ${tokens.length} tokens`);
  const kind = fields.string("tokenizer.ggml.model") ?? fields.refuse("tokenizer.ggml.model", "is missing");
  const vocabulary = { tokens, types };
  const config = specialTokens(fields, tokens);
  if (kind === "gpt2") return { ...byteLevel(fields, vocabulary, config), config, chatTemplate: fields.string("tokenizer.chat_template") };
  if (kind === "llama") return { ...sentencePiece(fields, vocabulary, config), config, chatTemplate: fields.string("tokenizer.chat_template") };
  return fields.refuse("tokenizer.ggml.model", `is ${JSON.stringify(kind)}; gpt2 and llama are served`);
}

interface Vocabulary {
  readonly tokens: readonly string[];
  readonly types: readonly number[];
}

interface Tokenizer {
  readonly tokenizer: Json;
}

function byteLevel(fields: Fields, vocabulary: Vocabulary, config: Json): Tokenizer {
  const name = fields.string("tokenizer.ggml.pre") ?? "default";
  const pre: PreTokenizer =
    PRE_TOKENIZERS.get(name) ??
    fields.refuse("tokenizer.ggml.pre", `is ${JSON.stringify(name)}; served are ${[...PRE_TOKENIZERS.keys()].join(", ")}`);
  const merges = fields.strings("tokenizer.ggml.merges").map((merge) => {
    const space = merge.indexOf(" ", 1);
    if (space < 0) fields.refuse("tokenizer.ggml.merges", `has ${JSON.stringify(merge.slice(0, 40))}, which is no pair`);
    return [merge.slice(0, space), merge.slice(space + 1)];
  });
  const tokenizer = {
    normalizer: pre.normalizer ?? null,
    pre_tokenizer: pre.preTokenizer,
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { type: "BPE", vocab: vocab(vocabulary.tokens), merges, ignore_merges: pre.ignoreMerges ?? false, unk_token: null },
    ...around(fields, vocabulary, config, pre.addBos ?? false),
  };
  return { tokenizer };
}

function sentencePiece(fields: Fields, vocabulary: Vocabulary, config: Json): Tokenizer {
  const prefix = fields.boolean("tokenizer.ggml.add_space_prefix") ?? true;
  const scores = fields.numbers("tokenizer.ggml.scores");
  if (scores.length !== vocabulary.tokens.length) {
    fields.refuse("tokenizer.ggml.scores", `has ${scores.length} entries for ${vocabulary.tokens.length} tokens`);
  }
  const replace = { type: "Replace", pattern: { String: " " }, content: "▁" };
  const strip = { type: "Strip", content: " ", start: 1, stop: 0 };
  const tokenizer = {
    normalizer: { type: "Sequence", normalizers: prefix ? [{ type: "Prepend", prepend: "▁" }, replace] : [replace] },
    pre_tokenizer: null,
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        ...(prefix ? [strip] : []),
      ],
    },
    model: {
      type: "BPE",
      vocab: vocab(vocabulary.tokens),
      merges: mergesOfScores(vocabulary.tokens, scores, (id) => vocabulary.types[id] === NORMAL),
      unk_token: config["unk_token"] ?? null,
      fuse_unk: true,
      byte_fallback: true,
    },
    ...around(fields, vocabulary, config, true),
  };
  return { tokenizer };
}

/** Tokens that are read as such where a text spells them, and what is put around a text. */
function around(fields: Fields, { tokens, types }: Vocabulary, config: Json, addBos: boolean): Json {
  const added = [];
  for (const [id, content] of tokens.entries()) {
    const type = types[id];
    if (type !== UNKNOWN && type !== CONTROL && type !== USER_DEFINED) continue;
    const special = type !== USER_DEFINED;
    added.push({ id, content, special, single_word: false, lstrip: false, rstrip: false, normalized: false });
  }
  const single: Json[] = [{ Sequence: { id: "A", type_id: 0 } }];
  const special: Record<string, Json> = {};
  const put = (key: "bos" | "eos", wanted: boolean, place: (entry: Json) => void): void => {
    const id = fields.number(`tokenizer.ggml.${key}_token_id`);
    const content = config[`${key}_token`];
    if (!wanted || id === undefined || typeof content !== "string") return;
    special[content] = { id: content, ids: [id], tokens: [content] };
    place({ SpecialToken: { id: content, type_id: 0 } });
  };
  put("bos", fields.boolean("tokenizer.ggml.add_bos_token") ?? addBos, (entry) => single.unshift(entry));
  put("eos", fields.boolean("tokenizer.ggml.add_eos_token") ?? false, (entry) => single.push(entry));
  const template = { type: "TemplateProcessing", single, pair: single, special_tokens: special };
  return { version: "1.0", added_tokens: added, post_processor: single.length > 1 ? template : null };
}

/** `bos_token` and the like, which chat templates use. */
function specialTokens(fields: Fields, tokens: readonly string[]): Json {
  const names = { bos_token: "bos", eos_token: "eos", unk_token: "unknown", pad_token: "padding" };
  const config: Record<string, unknown> = { tokenizer_class: "PreTrainedTokenizerFast", clean_up_tokenization_spaces: false };
  for (const [name, key] of Object.entries(names)) {
    const id = fields.number(`tokenizer.ggml.${key}_token_id`);
    if (id === undefined) continue;
    config[name] = tokens[id] ?? fields.refuse(`tokenizer.ggml.${key}_token_id`, `is ${id}, which no token has`);
  }
  return config;
}

function vocab(tokens: readonly string[]): Json {
  // Without a prototype: a token may be spelled "__proto__".
  const ids = Object.create(null) as Record<string, number>;
  for (const [id, token] of tokens.entries()) ids[token] ??= id;
  return ids;
}

/** Metadata by key, checked for its type. */
class Fields {
  private readonly name: string;
  private readonly values: ReadonlyMap<string, GgufValue>;

  constructor(name: string, values: ReadonlyMap<string, GgufValue>) {
    this.name = name;
    this.values = values;
  }

  refuse(key: string, what: string): never {
    throw new Error(`${this.name}: metadata ${key} ${what}`);
  }

  has(key: string): boolean {
    return this.values.has(key);
  }

  string(key: string): string | undefined {
    return this.scalar(key, "string") as string | undefined;
  }

  number(key: string): number | undefined {
    return this.scalar(key, "number") as number | undefined;
  }

  boolean(key: string): boolean | undefined {
    return this.scalar(key, "boolean") as boolean | undefined;
  }

  strings(key: string): readonly string[] {
    return this.array(key, "string") as readonly string[];
  }

  numbers(key: string): readonly number[] {
    return this.array(key, "number") as readonly number[];
  }

  private scalar(key: string, type: string): GgufValue | undefined {
    const value = this.values.get(key);
    if (value !== undefined && typeof value !== type) this.refuse(key, `is no ${type}`);
    return value;
  }

  private array(key: string, type: string): readonly unknown[] {
    const value = this.values.get(key) ?? this.refuse(key, "is missing");
    if (!Array.isArray(value) || (value.length > 0 && typeof value[0] !== type)) this.refuse(key, `is no array of ${type}s`);
    return value as readonly unknown[];
  }
}
