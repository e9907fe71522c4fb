import { mkdir, mkdtemp, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { adapterCount, adapterRank, adapterScaling, contextLength, projections } from "../shapes.js";
import type { Shape } from "../shapes.js";
import { writeAdapter } from "./adapter.js";
import type { Tensor } from "./files.js";
import { q4_0, q6K, q8_0, RandomRows } from "./formats.js";
import type { Format } from "./formats.js";
import { writeGguf } from "./gguf.js";
import { ggufRow } from "./rotary.js";
import { writeSafetensors } from "./safetensors.js";
import { ggufTokenizer, jsonTokenizer } from "./tokenizer.js";

/** The same random model and adapters in the formats that programs read. */
export interface ModelFiles {
  readonly shape: Shape;
  /** Hugging Face folder, bf16. */
  readonly folder: string;
  /** Q4_0, with the embedding and head as llama.cpp's converter leaves them. */
  readonly gguf: string;
  /** Folder of PEFT folders, named by `adapterNames`. */
  readonly adapters: string;
  readonly adapterFolders: readonly string[];
  readonly adapterGgufs: readonly string[];
}

/** Increased when the files change. */
const version = 1;

/** Makes the files of a shape in a folder, unless they are there. */
export async function randomModel(shape: Shape, cache: string, onProgress: (line: string) => void): Promise<ModelFiles> {
  const home = join(cache, "models", `${shape.name}-v${version}`);
  const found = await stat(home).then(() => true, () => false);
  if (!found) {
    onProgress(`writing a random ${shape.name} model to ${home}`);
    await mkdir(dirname(home), { recursive: true });
    // Made aside and then moved: an interrupted run leaves nothing that looks whole.
    const draft = await mkdtemp(`${home}-`);
    try {
      await writeModel(filesIn(draft, shape));
      await rename(draft, home);
    } catch (error) {
      await rm(draft, { recursive: true, force: true });
      throw error;
    }
  }
  return filesIn(home, shape);
}

function filesIn(home: string, shape: Shape): ModelFiles {
  const adapters = join(home, "adapters");
  const names = Array.from({ length: adapterCount }, (_, index) => `adapter-${index + 1}`);
  return {
    shape,
    folder: join(home, `random-${shape.name}`),
    gguf: join(home, "model.gguf"),
    adapters,
    adapterFolders: names.map((name) => join(adapters, name)),
    adapterGgufs: names.map((name) => join(home, `${name}.gguf`)),
  };
}

async function writeModel(files: ModelFiles): Promise<void> {
  const { shape, folder } = files;
  await mkdir(folder, { recursive: true });
  const matrices = matricesOf(shape);
  const norms = normsOf(shape);
  await writeSafetensors(join(folder, "model.safetensors"), [
    ...matrices.map(({ name, rows, columns, source }) => ({
      name,
      type: "BF16" as const,
      shape: [rows, columns],
      rowBytes: columns * 2,
      row: (row: number) => source.bf16(row),
    })),
    ...norms.map(({ name }) => ones(name, "BF16" as const, shape.hidden, Buffer.from([0x80, 0x3f]))),
  ]);
  await writeGguf(files.gguf, ggufMetadata(shape), [
    ...matrices.map(({ gguf, format, rows, columns, rotatedHeads, source }) => ({
      name: gguf,
      type: format.ggmlType,
      shape: [rows, columns],
      rowBytes: source.packedBytes,
      row: (row: number) => source.packed(ggufRow(row, rows, rotatedHeads)),
    })),
    ...norms.map(({ gguf }) => ones(gguf, 0, shape.hidden, Buffer.from([0, 0, 0x80, 0x3f]))),
  ]);
  await writeJson(join(folder, "config.json"), config(shape));
  await writeJson(join(folder, "tokenizer.json"), jsonTokenizer(shape.vocabulary));
  await writeJson(join(folder, "tokenizer_config.json"), {
    bos_token: "<s>",
    eos_token: "</s>",
    unk_token: "<unk>",
    tokenizer_class: "PreTrainedTokenizerFast",
  });
  for (let index = 0; index < adapterCount; index++) {
    await writeAdapter(shape, index, files.adapterFolders[index]!, files.adapterGgufs[index]!, {
      rank: adapterRank,
      alpha: adapterRank * adapterScaling,
    });
  }
}

interface Matrix {
  readonly name: string;
  readonly gguf: string;
  readonly rows: number;
  readonly columns: number;
  readonly format: Format;
  readonly rotatedHeads?: number | undefined;
  readonly source: RandomRows;
}

function matricesOf(shape: Shape): Matrix[] {
  const { hidden, vocabulary, tied } = shape;
  const sources = new Map<string, RandomRows>();
  const matrix = (entry: Omit<Matrix, "source">): Matrix => {
    const key = `${entry.format.ggmlType}/${entry.columns}`;
    const source = sources.get(key) ?? new RandomRows(entry.format, entry.columns, 1);
    sources.set(key, source);
    return { ...entry, source };
  };
  // What llama.cpp's quantizer makes of Q4_0: a matrix that serves as head gets 6 bits, or 8 if its rows do not fit.
  const head = hidden % q6K.blockValues === 0 ? q6K : q8_0;
  const embedding = { name: "model.embed_tokens.weight", gguf: "token_embd.weight", rows: vocabulary, columns: hidden };
  const output = { name: "lm_head.weight", gguf: "output.weight", rows: vocabulary, columns: hidden, format: head };
  return [
    matrix({ ...embedding, format: tied ? head : q4_0 }),
    ...(tied ? [] : [matrix(output)]),
    ...Array.from({ length: shape.layers }, (_, layer) =>
      projections(shape).map(({ path, gguf, outputs, inputs, rotatedHeads }) =>
        matrix({
          name: `model.layers.${layer}.${path}.weight`,
          gguf: `blk.${layer}.${gguf}.weight`,
          rows: outputs,
          columns: inputs,
          format: q4_0,
          rotatedHeads,
        }),
      ),
    ).flat(),
  ];
}

function normsOf(shape: Shape): { readonly name: string; readonly gguf: string }[] {
  const layers = Array.from({ length: shape.layers }, (_, layer) => [
    { name: `model.layers.${layer}.input_layernorm.weight`, gguf: `blk.${layer}.attn_norm.weight` },
    { name: `model.layers.${layer}.post_attention_layernorm.weight`, gguf: `blk.${layer}.ffn_norm.weight` },
  ]);
  return [...layers.flat(), { name: "model.norm.weight", gguf: "output_norm.weight" }];
}

/** A vector of ones. */
function ones<Type>(name: string, type: Type, size: number, one: Buffer): Tensor<Type> {
  const row = Buffer.concat(Array.from({ length: size }, () => one));
  return { name, type, shape: [size], rowBytes: row.length, row: () => row };
}

function config(shape: Shape): object {
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_size: shape.hidden,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.kvHeads,
    intermediate_size: shape.ffn,
    vocab_size: shape.vocabulary,
    max_position_embeddings: contextLength,
    rope_theta: 10_000,
    rms_norm_eps: 1e-5,
    hidden_act: "silu",
    tie_word_embeddings: shape.tied,
    bos_token_id: 1,
    eos_token_id: 2,
    torch_dtype: "bfloat16",
  };
}

function ggufMetadata(shape: Shape): Parameters<typeof writeGguf>[1] {
  return {
    "general.architecture": "llama",
    "general.name": `random-${shape.name}`,
    "general.file_type": { u32: 2 },
    "llama.block_count": { u32: shape.layers },
    "llama.context_length": { u32: contextLength },
    "llama.embedding_length": { u32: shape.hidden },
    "llama.feed_forward_length": { u32: shape.ffn },
    "llama.attention.head_count": { u32: shape.heads },
    "llama.attention.head_count_kv": { u32: shape.kvHeads },
    "llama.attention.layer_norm_rms_epsilon": { f32: 1e-5 },
    "llama.rope.freq_base": { f32: 10_000 },
    "llama.rope.dimension_count": { u32: shape.hidden / shape.heads },
    "llama.vocab_size": { u32: shape.vocabulary },
    ...ggufTokenizer(shape.vocabulary),
  };
}

async function writeJson(path: string, value: object): Promise<void> {
  await writeFile(path, JSON.stringify(value));
}
