import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Random } from "./random.js";
import { writeSafetensors, type Tensor } from "./safetensors.js";
import { tinyTokenizer } from "./tiny-tokenizer.js";

/** Shape of a tiny Llama. */
export interface TinyShape {
  readonly hidden: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly ffn: number;
  /** Tokens of prompt and output together. */
  readonly context: number;
}

/** What `writeTinyModel` makes unless told otherwise: head dimension 16, grouped-query attention. */
export const TINY_SHAPE: TinyShape = { hidden: 64, layers: 2, heads: 4, kvHeads: 2, ffn: 128, context: 512 };

/** Linear layers that LoRA adapters can change. */
export type Projection = "q_proj" | "k_proj" | "v_proj" | "o_proj" | "gate_proj" | "up_proj" | "down_proj";

/** Output and input size of each projection, as [N, K]. */
function projectionSizes(shape: TinyShape): Record<Projection, readonly [number, number]> {
  const kv = (shape.hidden / shape.heads) * shape.kvHeads;
  return {
    q_proj: [shape.hidden, shape.hidden],
    k_proj: [kv, shape.hidden],
    v_proj: [kv, shape.hidden],
    o_proj: [shape.hidden, shape.hidden],
    gate_proj: [shape.ffn, shape.hidden],
    up_proj: [shape.ffn, shape.hidden],
    down_proj: [shape.hidden, shape.ffn],
  };
}

const block = (name: Projection): string => (/^[qkvo]_/.test(name) ? "self_attn" : "mlp");

function matrix(random: Random, rows: number, columns: number, deviation: number): Tensor {
  return { shape: [rows, columns], values: random.normals(rows * columns, deviation) };
}

/** The weights of `writeTinyModel`, by their Hugging Face names. */
export function modelTensors(shape: TinyShape, vocabulary: number, random: Random): Map<string, Tensor> {
  const norm = (): Tensor => ({
    shape: [shape.hidden],
    values: random.normals(shape.hidden, 0.1).map((value) => 1 + value),
  });
  const tensors = new Map<string, Tensor>();
  // Wide logits: greedy choices then hold a clear lead, and small numeric changes cannot turn them.
  tensors.set("model.embed_tokens.weight", matrix(random, vocabulary, shape.hidden, 1));
  for (let layer = 0; layer < shape.layers; layer++) {
    const prefix = `model.layers.${layer}`;
    tensors.set(`${prefix}.input_layernorm.weight`, norm());
    tensors.set(`${prefix}.post_attention_layernorm.weight`, norm());
    for (const [name, [n, k]] of Object.entries(projectionSizes(shape))) {
      tensors.set(`${prefix}.${block(name as Projection)}.${name}.weight`, matrix(random, n, k, 1 / Math.sqrt(k)));
    }
  }
  tensors.set("model.norm.weight", norm());
  tensors.set("lm_head.weight", matrix(random, vocabulary, shape.hidden, 3 / Math.sqrt(shape.hidden)));
  return tensors;
}

/** What can be chosen about a tiny model. */
export interface TinyModelOptions {
  /** Same seed, same weights. Default: 1. */
  readonly seed?: number;
  /** Overrides of `TINY_SHAPE`. */
  readonly shape?: Partial<TinyShape>;
}

/**
 * Writes a random Llama (about 0.1 M parameters) into `directory` as Hugging Face lays one out: config.json,
 * model.safetensors, tokenizer.json with byte-level BPE, tokenizer_config.json with a chat template.
 */
export async function writeTinyModel(directory: string, options: TinyModelOptions = {}): Promise<void> {
  const shape = { ...TINY_SHAPE, ...options.shape };
  const { tokenizer, config, vocabularySize, bosTokenId, eosTokenId } = tinyTokenizer();
  const json = async (name: string, value: object): Promise<void> =>
    writeFile(join(directory, name), JSON.stringify(value, null, 2));
  await mkdir(directory, { recursive: true });
  await json("tokenizer.json", tokenizer);
  await json("tokenizer_config.json", { ...config, model_max_length: shape.context });
  await json("config.json", {
    architectures: ["LlamaForCausalLM"],
    attention_bias: false,
    attention_dropout: 0,
    bos_token_id: bosTokenId,
    eos_token_id: eosTokenId,
    head_dim: shape.hidden / shape.heads,
    hidden_act: "silu",
    hidden_size: shape.hidden,
    initializer_range: 0.02,
    intermediate_size: shape.ffn,
    max_position_embeddings: shape.context,
    mlp_bias: false,
    model_type: "llama",
    num_attention_heads: shape.heads,
    num_hidden_layers: shape.layers,
    num_key_value_heads: shape.kvHeads,
    pretraining_tp: 1,
    rms_norm_eps: 1e-5,
    rope_scaling: null,
    rope_theta: 10000,
    tie_word_embeddings: false,
    torch_dtype: "float32",
    use_cache: true,
    vocab_size: vocabularySize,
  });
  await writeSafetensors(
    join(directory, "model.safetensors"),
    modelTensors(shape, vocabularySize, new Random(options.seed ?? 1)),
  );
}

/** What can be chosen about a tiny adapter. */
export interface TinyAdapterOptions {
  /** Same seed, same weights. Default: 1. */
  readonly seed?: number;
  /** Default: 8. */
  readonly rank?: number;
  /** Default: twice the rank. */
  readonly alpha?: number;
  /** Default: q_proj and v_proj. */
  readonly targets?: readonly Projection[];
  /** Overrides of `TINY_SHAPE`; a shape other than the model's makes an adapter that does not fit. */
  readonly shape?: Partial<TinyShape>;
  /** Keys added to adapter_config.json, or put in place of its own. */
  readonly config?: Readonly<Record<string, unknown>>;
}

/** Writes a random PEFT adapter into `directory`: adapter_config.json and adapter_model.safetensors. */
export async function writeTinyAdapter(directory: string, options: TinyAdapterOptions = {}): Promise<void> {
  const shape = { ...TINY_SHAPE, ...options.shape };
  const rank = options.rank ?? 8;
  const targets = options.targets ?? ["q_proj", "v_proj"];
  const random = new Random((options.seed ?? 1) * 7919);
  const sizes = projectionSizes(shape);
  const tensors = new Map<string, Tensor>();
  for (let layer = 0; layer < shape.layers; layer++) {
    for (const name of targets) {
      const [n, k] = sizes[name];
      const prefix = `base_model.model.model.layers.${layer}.${block(name)}.${name}`;
      tensors.set(`${prefix}.lora_A.weight`, matrix(random, rank, k, 1 / Math.sqrt(k)));
      tensors.set(`${prefix}.lora_B.weight`, matrix(random, n, rank, 0.5 / Math.sqrt(rank)));
    }
  }
  await mkdir(directory, { recursive: true });
  await writeFile(
    join(directory, "adapter_config.json"),
    JSON.stringify(
      {
        base_model_name_or_path: "tiny",
        bias: "none",
        fan_in_fan_out: false,
        inference_mode: true,
        lora_alpha: options.alpha ?? 2 * rank,
        lora_dropout: 0,
        modules_to_save: null,
        peft_type: "LORA",
        r: rank,
        target_modules: targets,
        task_type: "CAUSAL_LM",
        use_dora: false,
        use_rslora: false,
        ...options.config,
      },
      null,
      2,
    ),
  );
  await writeSafetensors(join(directory, "adapter_model.safetensors"), tensors);
}
