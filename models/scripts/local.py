"""The base as PyTorch sees it after the engine's rounding, and greedy answers from it: a check beside the served system."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from fake_quant import quantize


def load_base(folder: Path, group: int) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The base in f32 with rounded weights, frozen, and its tokenizer."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    quantize(model, group)
    return model.requires_grad_(False).eval(), AutoTokenizer.from_pretrained(folder)


def as_chat(tokenizer: PreTrainedTokenizerBase, prompt: str) -> str:
    """A prompt as a user's message in the chat template, up to where the reply begins."""
    return tokenizer.apply_chat_template([{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True)


@torch.no_grad()
def answer(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: list[str], max_tokens: int, batch: int = 50
) -> list[str]:
    """Greedy continuations, without special tokens; prompts of like length share a batch."""
    tokenizer.padding_side = "left"
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    answers = [""] * len(prompts)
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        coded = tokenizer([prompts[i] for i in chosen], return_tensors="pt", padding=True, return_token_type_ids=False)
        out = model.generate(**coded, max_new_tokens=max_tokens, do_sample=False, pad_token_id=tokenizer.pad_token_id)
        texts = tokenizer.batch_decode(out[:, coded["input_ids"].shape[1] :], skip_special_tokens=True)
        for i, text in zip(chosen, texts):
            answers[i] = text
    return answers
