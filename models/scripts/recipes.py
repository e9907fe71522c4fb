"""How each adapter is trained: PEFT settings, minutes and batch, for the bundled base and for SmolLM2."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
FEED_FORWARD = ["gate_proj", "up_proj", "down_proj"]
ALL = [*ATTENTION, *FEED_FORWARD]


@dataclass(frozen=True)
class Recipe:
    """LoRA settings (alpha is twice the rank unless `extra` says otherwise), minutes of training on one core, sequences a
    step, peak rate, and whether prompts are given as a user's message in the base's chat template."""

    rank: int
    targets: list[str] | str
    minutes: float
    batch: int = 16
    rate: float = 3e-3
    chat: bool = False
    extra: dict[str, Any] = field(default_factory=dict)


GRAFT: dict[str, Recipe] = {
    "banking77-intent": Recipe(32, ALL, 10),
    "sst2-sentiment": Recipe(16, ALL, 10, batch=32),
    "viggo-sentence": Recipe(16, ALL, 9),
    "viggo-meaning": Recipe(16, ALL, 6, extra={"use_rslora": True, "lora_alpha": 8}),
    "e2e-slots": Recipe(8, ["q_proj", "v_proj", *FEED_FORWARD], 4),
    "banking77-topic": Recipe(
        8,
        ALL,
        3,
        extra={
            "rank_pattern": {"down_proj": 16, "k_proj": 4},
            "alpha_pattern": {"down_proj": 32, "k_proj": 8},
        },
    ),
    "viggo-act": Recipe(8, ATTENTION, 2.5),
    "e2e-price": Recipe(4, ["q_proj", "v_proj"], 2),
    "e2e-venue": Recipe(4, ATTENTION, 2.5),
    "bc5cdr-mentions": Recipe(
        12, r"model\.layers\.\d+\.(self_attn\.(q|v)_proj|mlp\.(gate|up|down)_proj)", 4
    ),
}

SMOLLM2: dict[str, Recipe] = {
    "banking77-topic": Recipe(8, ["q_proj", "v_proj"], 15, batch=8, rate=1e-3, chat=True),
    "sst2-sentiment": Recipe(
        8, r"model\.layers\.(1[5-9]|2\d)\.self_attn\.(q|k|v|o)_proj", 12, batch=8, rate=1e-3
    ),
    "viggo-sentence": Recipe(16, ALL, 25, batch=8, rate=1e-3),
}

RECIPES = {"graft-5m": GRAFT, "smollm2": SMOLLM2}
