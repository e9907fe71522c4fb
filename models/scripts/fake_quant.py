"""Rounds a checkpoint the way the engine serves it, so that adapters are trained and judged on the weights they meet.

Projections: affine 4 bits, `w = s*q + m` with q in 0..15, groups along the input dimension, s and m in fp16, the range
of each group clipped where that lowers the squared error. Embedding and head: symmetric 8 bits, groups of 64.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
CLIPS = (1.0, 0.95, 0.9, 0.85, 0.8)


def _fp16(x: Tensor) -> Tensor:
    return x.to(torch.float16).to(torch.float32)


def affine4(weight: Tensor, group: int = 32) -> Tensor:
    """4-bit affine rounding of a [out, in] matrix, dequantized again; tries 25 ranges a group."""
    blocks = weight.float().reshape(-1, group)
    low, high = blocks.amin(1, keepdim=True), blocks.amax(1, keepdim=True)
    best, least = torch.zeros_like(blocks), torch.full_like(low, torch.inf)
    for below in CLIPS:
        for above in CLIPS:
            minimum = _fp16(low * below)
            scale = _fp16(((high * above - minimum) / 15).clamp_min(1e-7)).clamp_min(6e-8)
            rounded = ((blocks - minimum) / scale).round().clamp(0, 15) * scale + minimum
            error = (rounded - blocks).square().sum(1, keepdim=True)
            better = error < least
            best, least = torch.where(better, rounded, best), torch.where(better, error, least)
    return best.reshape(weight.shape)


def symmetric8(weight: Tensor, group: int = 64) -> Tensor:
    """8-bit absmax rounding of a [rows, width] matrix, dequantized again."""
    blocks = weight.float().reshape(-1, group)
    scale = _fp16(blocks.abs().amax(1, keepdim=True) / 127).clamp_min(6e-8)
    return ((blocks / scale).round().clamp(-127, 127) * scale).reshape(weight.shape)


@torch.no_grad()
def quantize(model: nn.Module, group: int = 32) -> None:
    """Replaces every projection, the embedding and the head of a Llama model by its rounded self, in place."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and name.rsplit(".", 1)[-1] in PROJECTIONS:
            module.weight.copy_(affine4(module.weight, group))
        elif isinstance(module, nn.Embedding) or name.endswith("lm_head"):
            module.weight.copy_(symmetric8(module.weight))
