"""llama.cpp, by its Python package llama-cpp-python, and a converter to GGUF for what is measured here.

    python llama_cpp_tool.py convert FOLDER TO       a Llama of Hugging Face in f32, without its tokenizer
    python llama_cpp_tool.py quantize FROM TO TYPE   TYPE as llama-quantize names them: Q4_0, Q4_K_M, …
    python llama_cpp_tool.py score FILE THREADS      reads texts, a JSON array of token ids a line, and answers each with
                                                     {"logprobs": […], "best": […]} of all its tokens but the first
"""

import json
import sys
from pathlib import Path

import numpy as np

RENAMED = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output", "model.layers": "blk",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip


def convert(folder: str, target: str) -> None:
    import torch
    from gguf import GGUFWriter
    from safetensors import safe_open

    config = json.loads((Path(folder) / "config.json").read_text())
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    writer = GGUFWriter(target, "llama")
    writer.add_tokenizer_model("none")
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(config.get("rope_theta") or config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    with safe_open(Path(folder) / "model.safetensors", "pt") as tensors:
        for name in sorted(tensors.keys()):
            if name == "lm_head.weight" and config["tie_word_embeddings"]:
                continue
            values = tensors.get_tensor(name).to(torch.float32).numpy()
            if "q_proj" in name or "k_proj" in name:
                # The pairs that RoPE turns are neighbours in llama.cpp.
                count = heads if "q_proj" in name else kv_heads
                values = values.reshape(count, 2, head_dim // 2, -1).swapaxes(1, 2).reshape(values.shape)
            for old, new in RENAMED.items():
                name = name.replace(old, new)
            writer.add_tensor(name, np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantize(source: str, target: str, kind: str) -> None:
    import llama_cpp

    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}")
    params.nthread = 1
    if llama_cpp.llama_model_quantize(source.encode(), target.encode(), params) != 0:
        raise SystemExit(f"llama.cpp could not make {target}")


def score(file: str, threads: str) -> None:
    import llama_cpp

    model = llama_cpp.Llama(file, n_ctx=512, n_threads=int(threads), n_threads_batch=int(threads), logits_all=True, verbose=False)
    for line in sys.stdin:
        tokens = json.loads(line)
        model.reset()
        model.eval(tokens)
        logits = model.scores[: len(tokens) - 1].astype(np.float64)
        top = logits.max(axis=1, keepdims=True)
        logprobs = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
        chosen = logprobs[np.arange(len(tokens) - 1), tokens[1:]]
        print(json.dumps({"logprobs": chosen.tolist(), "best": logits.argmax(axis=1).tolist()}), flush=True)


COMMANDS = {"convert": (convert, 2), "quantize": (quantize, 3), "score": (score, 2)}

if __name__ == "__main__":
    command, count = COMMANDS.get(sys.argv[1] if len(sys.argv) > 1 else "", (None, 0))
    if command is None or len(sys.argv) != 2 + count:
        raise SystemExit(__doc__)
    command(*sys.argv[2:])
