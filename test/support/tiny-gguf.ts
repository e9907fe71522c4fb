import { writeFile } from "node:fs/promises";
import { encodeGguf, type GgufTensor } from "./gguf-file.js";
import { Random } from "./random.js";
import { modelTensors, TINY_SHAPE } from "./tiny-model.js";
import { tinyTokenizer } from "./tiny-tokenizer.js";

/** Names of llama.cpp for those of Hugging Face. */
const NAMES: readonly (readonly [RegExp, string])[] = [
  [/^model\.embed_tokens/, "token_embd"],
  [/^model\.norm/, "output_norm"],
  [/^lm_head/, "output"],
  [/^model\.layers\./, "blk."],
  [/input_layernorm/, "attn_norm"],
  [/post_attention_layernorm/, "ffn_norm"],
  [/self_attn\.([qkv])_proj/, "attn_$1"],
  [/self_attn\.o_proj/, "attn_output"],
  [/mlp\.(gate|up|down)_proj/, "ffn_$1"],
];

/** Writes the model of `writeTinyModel` with its defaults as one GGUF file, its matrices in `type`, as llama.cpp would. */
export async function writeTinyGguf(path: string, type: "F32" | "Q8_0" = "F32"): Promise<void> {
  const shape = TINY_SHAPE;
  const { tokenizer, config, vocabularySize, bosTokenId, eosTokenId } = tinyTokenizer();
  const { vocab, merges } = (tokenizer as { model: { vocab: Record<string, number>; merges: readonly string[] } }).model;
  const tokens = Object.entries(vocab)
    .sort((a, b) => a[1] - b[1])
    .map(([token]) => token);
  const tensors = [...modelTensors(shape, vocabularySize, new Random(1))].map(([name, tensor]): GgufTensor => {
    const values = Float32Array.from(tensor.values);
    const heads = name.includes("q_proj") ? shape.heads : name.includes("k_proj") ? shape.kvHeads : 0;
    return {
      name: NAMES.reduce((text, [from, to]) => text.replace(from, to), name),
      shape: tensor.shape,
      ...(tensor.shape.length === 2 ? { type } : {}),
      values: heads > 0 ? permuted(values, heads, shape.hidden / shape.heads, shape.hidden) : values,
    };
  });
  const fields = {
    "general.architecture": "llama",
    "llama.block_count": { u32: shape.layers },
    "llama.context_length": { u32: shape.context },
    "llama.embedding_length": { u32: shape.hidden },
    "llama.feed_forward_length": { u32: shape.ffn },
    "llama.attention.head_count": { u32: shape.heads },
    "llama.attention.head_count_kv": { u32: shape.kvHeads },
    "llama.attention.layer_norm_rms_epsilon": { f32: 1e-5 },
    "llama.rope.freq_base": { f32: 10_000 },
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "gpt-2",
    "tokenizer.ggml.tokens": { strings: tokens },
    "tokenizer.ggml.token_type": { i32s: tokens.map((_, id) => (id < 3 ? 3 : 1)) },
    "tokenizer.ggml.merges": { strings: merges },
    "tokenizer.ggml.bos_token_id": { u32: bosTokenId },
    "tokenizer.ggml.eos_token_id": { u32: eosTokenId },
    "tokenizer.chat_template": (config as { chat_template: string }).chat_template,
  };
  await writeFile(path, encodeGguf(fields, tensors));
}

/** The converter's reordering of q and k: row j * dim/2 + i of a head becomes row 2 i + j. */
function permuted(values: Float32Array, heads: number, dim: number, columns: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let row = 0; row < heads * dim; row++) {
    const inHead = row % dim;
    const half = dim / 2;
    const to = row - inHead + 2 * (inHead % half) + Math.floor(inHead / half);
    out.set(values.subarray(row * columns, (row + 1) * columns), to * columns);
  }
  return out;
}
