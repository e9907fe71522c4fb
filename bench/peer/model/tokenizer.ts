import type { GgufValue } from "./gguf.js";

/** Requests are made of token ids; tokenizers are there because programs will not start without one. */

const specials = ["<unk>", "<s>", "</s>"];

/** Words of a SentencePiece vocabulary: special tokens, the 256 bytes, and words of no meaning. */
function words(size: number): string[] {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  return Array.from({ length: size }, (_, id) => specials[id] ?? bytes[id - specials.length] ?? `w${id}`);
}

/** Metadata of a GGUF file with a vocabulary of this size. */
export function ggufTokenizer(size: number): Record<string, GgufValue> {
  const [normal, unknown, control, byte] = [1, 2, 3, 6];
  const kinds = words(size).map((_, id) => [unknown, control, control][id] ?? (id < specials.length + 256 ? byte : normal));
  return {
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": { strings: words(size) },
    "tokenizer.ggml.scores": { f32s: words(size).map((_, id) => -id) },
    "tokenizer.ggml.token_type": { i32s: kinds },
    "tokenizer.ggml.bos_token_id": { u32: 1 },
    "tokenizer.ggml.eos_token_id": { u32: 2 },
  };
}

/** The contents of tokenizer.json for the same vocabulary. */
export function jsonTokenizer(size: number): object {
  const added = specials.map((content, id) => ({
    id,
    content,
    special: true,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
  }));
  return {
    version: "1.0",
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: { type: "Sequence", decoders: [{ type: "ByteFallback" }, { type: "Fuse" }] },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: "<unk>",
      fuse_unk: true,
      byte_fallback: true,
      vocab: Object.fromEntries(words(size).map((word, id) => [word, id])),
      merges: [],
    },
  };
}
