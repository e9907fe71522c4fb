"""Rounds a checkpoint the way the engine serves it, so that adapters are trained and judged on the weights they meet.

Projections: affine 4 bits, `w = s*q + m` with q in 0..15, groups along the input dimension, s and m in fp16, the range
of each group clipped where that lowers the squared error. Embedding and head: symmetric 8 bits, groups of 64.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
CUTS = (0.0, 0.045, 0.09, 0.135, 0.18)
REFITS = 3
TINY = 6e-8


def _fp16(x: Tensor) -> Tensor:
    return x.to(torch.float16).to(torch.float32)


def _rounded(blocks: Tensor, scale: Tensor, minimum: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Codes, dequantized weights and squared error of [groups, group] blocks under fp16 scales and minimums."""
    scale, minimum = _fp16(scale).clamp_min(TINY), _fp16(minimum)
    codes = ((blocks - minimum) / scale).round().clamp(0, 15)
    weights = codes * scale + minimum
    return codes, weights, (weights - blocks).square().sum(1, keepdim=True)


def _refit(blocks: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and minimum that fit given codes best: linear regression of the weights on them."""
    mean_code, mean = codes.mean(1, keepdim=True), blocks.mean(1, keepdim=True)
    spread = (codes - mean_code).square().sum(1, keepdim=True)
    slope = ((codes - mean_code) * (blocks - mean)).sum(1, keepdim=True) / spread.clamp_min(TINY)
    return slope, mean - slope * mean_code


def affine4(weight: Tensor, group: int = 32) -> Tensor:
    """4-bit affine rounding of a [out, in] matrix, dequantized again.

    As in the engine's model/affine_search.h, which besides keeps weights that lie on a grid already: each end of a group's range is cut by 0 to 18 % (a grid of 5 x 5), then up to three
    rounds of regression, wherever they lower the squared error.
    """
    blocks = weight.float().reshape(-1, group)
    low, width = blocks.amin(1, keepdim=True), blocks.amax(1, keepdim=True) - blocks.amin(1, keepdim=True)
    codes, best, least = _rounded(blocks, width / 15, low)
    candidates = [(width * (1 - below - above) / 15, low + width * below) for below in CUTS for above in CUTS]
    for number in range(len(candidates) + REFITS):
        scale, minimum = candidates[number] if number < len(candidates) else _refit(blocks, codes)
        tried, weights, error = _rounded(blocks, scale, minimum)
        better = error < least
        codes, best = torch.where(better, tried, codes), torch.where(better, weights, best)
        least = torch.where(better, error, least)
    return best.reshape(weight.shape)


def symmetric8(weight: Tensor, group: int = 64) -> Tensor:
    """8-bit absmax rounding of a [rows, width] matrix, dequantized again."""
    blocks = weight.float().reshape(-1, group)
    scale = _fp16(blocks.abs().amax(1, keepdim=True) / 127).clamp_min(TINY)
    return ((blocks / scale).round().clamp(-127, 127) * scale).reshape(weight.shape)


@torch.no_grad()
def quantize(model: nn.Module, group: int = 32) -> None:
    """Replaces every projection, the embedding and the head of a Llama model by its rounded self, in place."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and name.rsplit(".", 1)[-1] in PROJECTIONS:
            module.weight.copy_(affine4(module.weight, group))
        elif isinstance(module, nn.Embedding) or name.endswith("lm_head"):
            module.weight.copy_(symmetric8(module.weight))
