import type { GgufValue } from "./gguf.js";

/** Requests are made of token ids; tokenizers are there because programs will not start without one. */

const specials = ["<unk>", "<s>", "</s>"];

/** A merge that the vocabulary has, for readers that want one. */
const merged = ["a", "b"];

/** Tokens of a byte-level vocabulary: special ones, the 256 bytes, the result of the merge, and words of no meaning. */
function tokens(size: number): string[] {
  const known = [...specials, ...byteCharacters(), merged.join("")];
  return Array.from({ length: size }, (_, id) => known[id] ?? `w${id}`);
}

/** Metadata of a GGUF file with a vocabulary of this size. */
export function ggufTokenizer(size: number): Record<string, GgufValue> {
  const [normal, control] = [1, 3];
  return {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "smollm",
    "tokenizer.ggml.tokens": { strings: tokens(size) },
    "tokenizer.ggml.token_type": { i32s: tokens(size).map((_, id) => (id < specials.length ? control : normal)) },
    "tokenizer.ggml.merges": { strings: [merged.join(" ")] },
    "tokenizer.ggml.bos_token_id": { u32: 1 },
    "tokenizer.ggml.eos_token_id": { u32: 2 },
    "tokenizer.ggml.unknown_token_id": { u32: 0 },
    "tokenizer.ggml.padding_token_id": { u32: 2 },
  };
}

/** The contents of tokenizer.json for the same vocabulary. */
export function jsonTokenizer(size: number): object {
  const flags = { special: true, single_word: false, lstrip: false, rstrip: false, normalized: false };
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  return {
    version: "1.0",
    added_tokens: specials.map((content, id) => ({ id, content, ...flags })),
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      fuse_unk: false,
      byte_fallback: false,
      vocab: Object.fromEntries(tokens(size).map((token, id) => [token, id])),
      merges: [merged.join(" ")],
    },
  };
}

/** How byte-level tokenizers write each byte as a visible character: printable Latin-1 as itself, the rest from U+0100. */
function byteCharacters(): string[] {
  const visible = (byte: number): boolean => (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(visible(byte) ? byte : next++));
}
