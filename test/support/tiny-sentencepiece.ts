const SPECIAL_TOKENS = ["<unk>", "<s>", "</s>"] as const;
const LETTERS = "▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,!?'é日";
const MERGES = ["▁ t", "h e", "▁t he", "▁ h", "▁h e", "l l", "▁he ll", "▁hell o", "▁ a", "▁ w", "▁w o", "r l", "▁ ▁"];

/**
 * tokenizer.json and tokenizer_config.json of a small SentencePiece-style tokenizer as Llama-2, Mistral and TinyLlama
 * have it: "▁" for spaces, one put before the text, byte fallback for what the vocabulary lacks.
 */
export function tinySentencePiece(): { tokenizer: object; config: object } {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  const tokens = [...SPECIAL_TOKENS, ...bytes, ...LETTERS, ...MERGES.map((merge) => merge.replace(" ", ""))];
  const added = SPECIAL_TOKENS.map((content, id) => ({
    id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true,
  })); // prettier-ignore
  return {
    tokenizer: {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: added,
      normalizer: {
        type: "Sequence",
        normalizers: [
          { type: "Prepend", prepend: "▁" },
          { type: "Replace", pattern: { String: " " }, content: "▁" },
        ],
      },
      pre_tokenizer: null,
      post_processor: {
        type: "TemplateProcessing",
        single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
        pair: [
          { SpecialToken: { id: "<s>", type_id: 0 } },
          { Sequence: { id: "A", type_id: 0 } },
          { SpecialToken: { id: "<s>", type_id: 1 } },
          { Sequence: { id: "B", type_id: 1 } },
        ],
        special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } },
      },
      decoder: {
        type: "Sequence",
        decoders: [
          { type: "Replace", pattern: { String: "▁" }, content: " " },
          { type: "ByteFallback" },
          { type: "Fuse" },
          { type: "Strip", content: " ", start: 1, stop: 0 },
        ],
      },
      model: {
        type: "BPE",
        dropout: null,
        unk_token: "<unk>",
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: true,
        byte_fallback: true,
        ignore_merges: false,
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
        merges: MERGES,
      },
    },
    config: {
      bos_token: { __type: "AddedToken", content: "<s>", special: true },
      eos_token: "</s>",
      unk_token: "<unk>",
      clean_up_tokenization_spaces: false,
      tokenizer_class: "LlamaTokenizer",
      chat_template: [
        { name: "tool_use", template: "tools" },
        {
          name: "default",
          template:
            "{{ bos_token }}{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}" +
            "{{ raise_exception('roles must alternate user/assistant') }}{% endif %}" +
            "{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %}{{ m.content }}{{ eos_token }}{% endif %}" +
            "{% endfor %}",
        },
      ],
    },
  };
}
