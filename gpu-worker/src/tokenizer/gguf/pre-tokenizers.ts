import type { Json } from "../tokenizer-files.js";

/** How text is cut before merges apply, and whether a word of the vocabulary is taken whole without merging. */
export interface PreTokenizer {
  readonly preTokenizer: Json;
  readonly normalizer?: Json;
  readonly ignoreMerges?: boolean;
  /** Whether a beginning-of-sequence token is put where the file does not say. */
  readonly addBos?: boolean;
}

const byteLevel = (regex: boolean): Json => ({
  type: "ByteLevel",
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: regex,
});

const sequence = (...pretokenizers: readonly Json[]): Json => ({ type: "Sequence", pretokenizers });

const split = (pattern: string): Json =>
  sequence({ type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false }, byteLevel(false));

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const REST = String.raw` ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;
const WORD = String.raw`[^\r\n\p{L}\p{N}]?\p{L}+`;
const UPPER = String.raw`[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`;
const LOWER = String.raw`[\p{Ll}\p{Lm}\p{Lo}\p{M}]`;

const GPT2: PreTokenizer = { preTokenizer: byteLevel(true) };
const DIGITS: PreTokenizer = { preTokenizer: sequence({ type: "Digits", individual_digits: true }, byteLevel(true)) };
const LLAMA3: PreTokenizer = {
  preTokenizer: split(String.raw`${CONTRACTIONS}|${WORD}|\p{N}{1,3}|${REST}`),
  ignoreMerges: true,
  addBos: true,
};
const QWEN2: PreTokenizer = {
  preTokenizer: split(String.raw`${CONTRACTIONS}|${WORD}|\p{N}|${REST}`),
  normalizer: { type: "NFC" },
};
const TEKKEN: PreTokenizer = {
  preTokenizer: split(
    String.raw`[^\r\n\p{L}\p{N}]?${UPPER}*${LOWER}+|[^\r\n\p{L}\p{N}]?${UPPER}+${LOWER}*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  ),
  ignoreMerges: true,
  addBos: true,
};

/**
 * The pre-tokenizers behind llama.cpp's names for them (`tokenizer.ggml.pre`), as the models' own tokenizer.json files
 * have them.
 */
export const PRE_TOKENIZERS: ReadonlyMap<string, PreTokenizer> = new Map([
  ["default", GPT2],
  ["gpt-2", GPT2],
  ["smollm", DIGITS],
  ["starcoder", DIGITS],
  ["refact", DIGITS],
  ["command-r", DIGITS],
  ["llama-bpe", LLAMA3],
  ["llama3", LLAMA3],
  ["llama-v3", LLAMA3],
  ["qwen2", QWEN2],
  ["deepseek-r1-qwen", QWEN2],
  ["tekken", TEKKEN],
]);
