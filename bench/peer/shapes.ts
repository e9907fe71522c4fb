/** Sizes of a Llama. */
export interface Shape {
  readonly name: ShapeName;
  readonly hidden: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly ffn: number;
  readonly vocabulary: number;
  /** The embedding serves as the head. */
  readonly tied: boolean;
}

export type ShapeName = "135m" | "1.1b";

/** The shapes that are measured: SmolLM2-135M and TinyLlama-1.1B. */
export const shapes: Readonly<Record<ShapeName, Shape>> = {
  "135m": { name: "135m", hidden: 576, layers: 30, heads: 9, kvHeads: 3, ffn: 1536, vocabulary: 49_152, tied: true },
  "1.1b": { name: "1.1b", hidden: 2048, layers: 22, heads: 32, kvHeads: 4, ffn: 5632, vocabulary: 32_000, tied: false },
};

/** Most tokens of a sequence. */
export const contextLength = 4096;

/** Distinct adapters, and their rank on all seven projections. */
export const adapterCount = 8;
export const adapterRank = 16;
/** What an adapter's product is multiplied by: alpha / rank. */
export const adapterScaling = 2;

/** A linear layer of a block. */
export interface Projection {
  /** Its name in Hugging Face checkpoints, and in GGUF files. */
  readonly path: string;
  readonly gguf: string;
  readonly outputs: number;
  readonly inputs: number;
  /** Heads of a projection whose outputs are rotated by RoPE. */
  readonly rotatedHeads?: number;
}

/** The linear layers of a block. */
export function projections(shape: Shape): Projection[] {
  const { hidden, heads, kvHeads, ffn } = shape;
  const kv = (hidden / heads) * kvHeads;
  return [
    { path: "self_attn.q_proj", gguf: "attn_q", outputs: hidden, inputs: hidden, rotatedHeads: heads },
    { path: "self_attn.k_proj", gguf: "attn_k", outputs: kv, inputs: hidden, rotatedHeads: kvHeads },
    { path: "self_attn.v_proj", gguf: "attn_v", outputs: kv, inputs: hidden },
    { path: "self_attn.o_proj", gguf: "attn_output", outputs: hidden, inputs: hidden },
    { path: "mlp.gate_proj", gguf: "ffn_gate", outputs: ffn, inputs: hidden },
    { path: "mlp.up_proj", gguf: "ffn_up", outputs: ffn, inputs: hidden },
    { path: "mlp.down_proj", gguf: "ffn_down", outputs: hidden, inputs: ffn },
  ];
}
