import { access, mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { writeRandomSafetensors } from "./write-safetensors.js";
import type { RandomTensor } from "./write-safetensors.js";

/** Sizes of a Llama. */
interface Shape {
  readonly hidden: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly ffn: number;
  readonly vocabulary: number;
}

/** Shapes of public models, by the names that `bench --random` takes. */
export const randomShapes: Readonly<Record<string, Shape>> = {
  // SmolLM2-135M
  "135m": { hidden: 576, layers: 30, heads: 9, kvHeads: 3, ffn: 1536, vocabulary: 49_152 },
};

const adapterCount = 8;
const rank = 16;

/**
 * A model of a public one's shape with random weights, and 8 random adapters of rank 16 on all projections. It is made
 * once and kept in the user's cache folder. What it says makes no sense; how long it takes does.
 */
export async function randomModel(
  name: string,
  onProgress: (line: string) => void,
): Promise<{ readonly model: string; readonly adapters: string }> {
  const shape = randomShapes[name];
  if (shape === undefined) throw new Error(`there is no shape ${name}; there are ${Object.keys(randomShapes).join(", ")}`);
  const cache = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
  const folder = join(cache, "polygraft", `random-${name}`);
  const found = await access(folder).then(() => true, () => false);
  if (!found) {
    onProgress(`making a random model of the shape ${name} in ${folder}`);
    await mkdir(dirname(folder), { recursive: true });
    // Made aside and then moved: an interrupted run leaves nothing that looks whole.
    const draft = await mkdtemp(`${folder}-`);
    try {
      await writeModel(join(draft, `random-${name}`), shape);
      for (let index = 1; index <= adapterCount; index++) {
        await writeAdapter(join(draft, "adapters", `random-${index}`), shape, `random-${name}`);
      }
      await rename(draft, folder);
    } catch (error) {
      await rm(draft, { recursive: true, force: true });
      throw error;
    }
  }
  return { model: join(folder, `random-${name}`), adapters: join(folder, "adapters") };
}

async function writeModel(folder: string, shape: Shape): Promise<void> {
  await mkdir(folder, { recursive: true });
  const config = {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_size: shape.hidden,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.kvHeads,
    intermediate_size: shape.ffn,
    vocab_size: shape.vocabulary,
    max_position_embeddings: 2048,
    rope_theta: 100_000,
    rms_norm_eps: 1e-5,
    hidden_act: "silu",
    tie_word_embeddings: true,
    bos_token_id: 0,
    eos_token_id: 0,
    torch_dtype: "bfloat16",
  };
  await writeJson(join(folder, "config.json"), config);
  await writeJson(join(folder, "tokenizer.json"), tokenizer(shape.vocabulary));
  await writeJson(join(folder, "tokenizer_config.json"), { eos_token: "<|end|>", tokenizer_class: "PreTrainedTokenizerFast" });
  await writeRandomSafetensors(join(folder, "model.safetensors"), modelTensors(shape));
}

function modelTensors(shape: Shape): RandomTensor[] {
  const norm = (name: string): RandomTensor => ({ name, shape: [shape.hidden], deviation: 1 });
  const layers = Array.from({ length: shape.layers }, (_, index) => `model.layers.${index}`);
  return [
    { name: "model.embed_tokens.weight", shape: [shape.vocabulary, shape.hidden], deviation: 0.02 },
    ...layers.flatMap((layer) => [
      norm(`${layer}.input_layernorm.weight`),
      norm(`${layer}.post_attention_layernorm.weight`),
      ...projections(shape).map(({ path, outputs, inputs }) => ({
        name: `${layer}.${path}.weight`,
        shape: [outputs, inputs],
        deviation: 0.02,
      })),
    ]),
    norm("model.norm.weight"),
  ];
}

async function writeAdapter(folder: string, shape: Shape, base: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const targets = projections(shape);
  await writeJson(join(folder, "adapter_config.json"), {
    peft_type: "LORA",
    task_type: "CAUSAL_LM",
    base_model_name_or_path: base,
    r: rank,
    lora_alpha: 2 * rank,
    bias: "none",
    target_modules: targets.map(({ path }) => path.slice(path.indexOf(".") + 1)),
  });
  const tensors = Array.from({ length: shape.layers }, (_, index) =>
    targets.flatMap(({ path, outputs, inputs }) => {
      const name = `base_model.model.model.layers.${index}.${path}`;
      return [
        { name: `${name}.lora_A.weight`, shape: [rank, inputs], deviation: 0.02 },
        { name: `${name}.lora_B.weight`, shape: [outputs, rank], deviation: 0.02 },
      ];
    }),
  );
  await writeRandomSafetensors(join(folder, "adapter_model.safetensors"), tensors.flat());
}

/** The linear layers of a block, with their sizes. */
function projections(shape: Shape): { readonly path: string; readonly outputs: number; readonly inputs: number }[] {
  const { hidden, ffn } = shape;
  const kv = (hidden / shape.heads) * shape.kvHeads;
  return [
    { path: "self_attn.q_proj", outputs: hidden, inputs: hidden },
    { path: "self_attn.k_proj", outputs: kv, inputs: hidden },
    { path: "self_attn.v_proj", outputs: kv, inputs: hidden },
    { path: "self_attn.o_proj", outputs: hidden, inputs: hidden },
    { path: "mlp.gate_proj", outputs: ffn, inputs: hidden },
    { path: "mlp.up_proj", outputs: ffn, inputs: hidden },
    { path: "mlp.down_proj", outputs: hidden, inputs: ffn },
  ];
}

/** A byte-level tokenizer with as many tokens as the model: 256 bytes, and words that only a model can say. */
function tokenizer(size: number): object {
  const vocab: Record<string, number> = { "<|end|>": 0 };
  for (const character of byteCharacters()) vocab[character] = Object.keys(vocab).length;
  for (let id = Object.keys(vocab).length; id < size; id++) vocab[`w${id}`] = id;
  return {
    version: "1.0",
    added_tokens: [
      { id: 0, content: "<|end|>", special: true, single_word: false, lstrip: false, rstrip: false, normalized: false },
    ],
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { type: "BPE", dropout: null, unk_token: null, fuse_unk: false, byte_fallback: false, vocab, merges: [] },
  };
}

/** How byte-level tokenizers write each byte as a visible character: printable Latin-1 as itself, the rest from U+0100. */
function byteCharacters(): string[] {
  const visible = (byte: number): boolean => (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(visible(byte) ? byte : next++));
}

async function writeJson(path: string, value: object): Promise<void> {
  await writeFile(path, JSON.stringify(value, undefined, 1));
}
