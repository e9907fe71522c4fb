/** GPT-2's printable stand-in for each byte: what a byte-level tokenizer.json spells its tokens with. */
function byteCharacters(): string[] {
  const printable = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
}

const SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] as const;

// In the order of their ranks. "Ġ" is the stand-in of a space, "ðŁ" of the first two bytes of most emoji.
const MERGES = [
  "Ġ t", "h e", "Ġ a", "i n", "r e", "Ġt he", "o n", "e r", "Ġ s", "a t", "Ġ w", "o u", "Ġ o", "n d", "i s", "Ġ c",
  "i t", "o r", "e s", "e n", "Ġ f", "Ġ b", "in g", "Ġ p", "e d", "a n", "a l", "Ġ m", "Ġt o", "Ġa nd", "Ġ in", "Ġo f",
  "a r", "Ġ h", "l l", "Ġ d", "a s", "i c", "r o", "l e", "Ġ is", "e l", "Ġ l", "i on", "i l", "o m", "Ġ y", "Ġy ou",
  "v e", "Ġ re", "l o", "he ll", "hell o", "Ġ e", "u t", "s t", "a y", "ð Ł", "ðŁ ĺ", "Ã ¤", "Ã ¼",
]; // prettier-ignore

/** A system turn is optional; every turn is framed as in ChatML. */
const CHAT_TEMPLATE =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/** The files of the tiny model's tokenizer: byte-level BPE with specials and a chat template. */
export interface TinyTokenizer {
  readonly tokenizer: object;
  readonly config: object;
  /** Tokens in the vocabulary: 3 specials, 256 bytes, the merges. */
  readonly vocabularySize: number;
  readonly bosTokenId: number;
  readonly eosTokenId: number;
}

/** Makes tokenizer.json and tokenizer_config.json as Hugging Face lays them out. */
export function tinyTokenizer(): TinyTokenizer {
  const tokens = [...SPECIAL_TOKENS, ...byteCharacters(), ...MERGES.map((merge) => merge.replace(" ", ""))];
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  const added = SPECIAL_TOKENS.map((content, id) => ({
    id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true,
  })); // prettier-ignore
  return {
    tokenizer: {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: added,
      normalizer: null,
      pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
      post_processor: null,
      decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
      model: {
        type: "BPE",
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: false,
        vocab,
        merges: MERGES,
      },
    },
    config: {
      add_prefix_space: false,
      added_tokens_decoder: Object.fromEntries(added.map(({ id, ...token }) => [id, token])),
      bos_token: "<|endoftext|>",
      eos_token: "<|im_end|>",
      chat_template: CHAT_TEMPLATE,
      clean_up_tokenization_spaces: false,
      model_max_length: 512,
      tokenizer_class: "GPT2Tokenizer",
    },
    vocabularySize: tokens.length,
    bosTokenId: 0,
    eosTokenId: 2,
  };
}
