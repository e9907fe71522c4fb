"""Muon (Jordan et al., 2024): momentum whose update is orthogonalised by a Newton-Schulz iteration."""

from __future__ import annotations

from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
MOMENTUM = 0.95
WEIGHT_DECAY = 0.01


def orthogonalise(gradient: Tensor, steps: int = 5) -> Tensor:
    """The nearest semi-orthogonal matrix, roughly: singular values end between 0.7 and 1.2."""
    a, b, c = COEFFICIENTS
    x = gradient / (gradient.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


def muon_update(weight: Tensor, gradient: Tensor, momentum: Tensor, rate: float) -> None:
    """One step in place, with Nesterov momentum, decoupled weight decay and a step scaled to the matrix's shape."""
    momentum.lerp_(gradient, 1 - MOMENTUM)
    update = orthogonalise(gradient.lerp(momentum, MOMENTUM))
    scale = max(1.0, weight.shape[0] / weight.shape[1]) ** 0.5
    weight.mul_(1 - rate * WEIGHT_DECAY).add_(update, alpha=-rate * scale)
