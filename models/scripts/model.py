"""The base model as a compact training module, and its export as a Hugging Face Llama checkpoint.

transformers in eager mode spends most of a step on elementwise work at this size; this module is the same
architecture written so that torch.compile fuses it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Shape:
    """Sizes of the base; every projection is a multiple of 64 in both directions."""

    vocabulary: int = 4096
    hidden: int = 256
    ffn: int = 768
    layers: int = 6
    heads: int = 8
    kv_heads: int = 2
    head_dim: int = 32
    rope_theta: float = 10000.0
    epsilon: float = 1e-5


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding in the half-split layout of Hugging Face Llama; x is [batch, heads, time, head_dim]."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


class Norm(nn.Module):
    """RMSNorm."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.epsilon) * self.weight


class Layer(nn.Module):
    """Grouped-query attention and SwiGLU, both behind a norm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width, inner, kv = shape.hidden, shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        self.input_layernorm = Norm(width, shape.epsilon)
        self.q_proj = nn.Linear(width, inner, bias=False)
        self.k_proj = nn.Linear(width, kv, bias=False)
        self.v_proj = nn.Linear(width, kv, bias=False)
        self.o_proj = nn.Linear(inner, width, bias=False)
        self.post_attention_layernorm = Norm(width, shape.epsilon)
        self.gate_proj = nn.Linear(width, shape.ffn, bias=False)
        self.up_proj = nn.Linear(width, shape.ffn, bias=False)
        self.down_proj = nn.Linear(shape.ffn, width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        shape, (batch, time, _) = self.shape, x.shape
        normed = self.input_layernorm(x)

        def split(y: Tensor, heads: int) -> Tensor:
            return y.view(batch, time, heads, shape.head_dim).transpose(1, 2)

        q = rotate(split(self.q_proj(normed), shape.heads), cos, sin)
        k = rotate(split(self.k_proj(normed), shape.kv_heads), cos, sin)
        v = split(self.v_proj(normed), shape.kv_heads)
        group = shape.heads // shape.kv_heads
        k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o_proj(mixed.transpose(1, 2).reshape(batch, time, -1))
        normed = self.post_attention_layernorm(x)
        return x + self.down_proj(F.silu(self.gate_proj(normed)) * self.up_proj(normed))


class Base(nn.Module):
    """The whole model; the head is the embedding."""

    def __init__(self, shape: Shape, context: int) -> None:
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.hidden)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = Norm(shape.hidden, shape.epsilon)
        frequency = shape.rope_theta ** (-torch.arange(0, shape.head_dim, 2).float() / shape.head_dim)
        angles = torch.outer(torch.arange(context).float(), frequency)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)
        for layer in self.layers:
            for output in (layer.o_proj, layer.down_proj):
                nn.init.normal_(output.weight, std=0.02 / (2 * shape.layers) ** 0.5)

    def forward(self, tokens: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Weighted mean of the next-token losses of a [batch, time] block."""
        x = self.embed_tokens(tokens)
        cos, sin = self.cos[: tokens.shape[1]], self.sin[: tokens.shape[1]]
        for layer in self.layers:
            x = layer(x, cos, sin)
        logits = F.linear(self.norm(x), self.embed_tokens.weight)
        losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        return (losses * weights.flatten()).sum() / weights.sum()


ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
FEED_FORWARD = ("gate_proj", "up_proj", "down_proj")


def hugging_face_name(name: str) -> str:
    """The tensor name that LlamaForCausalLM gives to a parameter of this module."""
    for part in ATTENTION:
        name = name.replace(f".{part}.", f".self_attn.{part}.")
    for part in FEED_FORWARD:
        name = name.replace(f".{part}.", f".mlp.{part}.")
    return f"model.{name}"


def export(state: dict[str, Tensor], shape: Shape, context: int, out: Path) -> None:
    """Writes config.json, generation_config.json and model.safetensors (bf16) for LlamaForCausalLM."""
    out.mkdir(parents=True, exist_ok=True)
    tensors = {hugging_face_name(name): tensor.to(torch.bfloat16).contiguous() for name, tensor in state.items()}
    save_file(tensors, str(out / "model.safetensors"), metadata={"format": "pt"})
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.ffn,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": context,
        "rms_norm_eps": shape.epsilon,
        "rope_theta": shape.rope_theta,
        "rope_scaling": None,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "initializer_range": 0.02,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 2,
        "torch_dtype": "bfloat16",
        "use_cache": True,
    }
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    generation = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2, "do_sample": False}
    (out / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
