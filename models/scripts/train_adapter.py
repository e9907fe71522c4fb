"""Trains one LoRA adapter with PEFT on the frozen base, rounded to 4 bits as the engine serves it.

The loss covers the answer only. The learning rate falls linearly to zero over the allotted minutes; of the states at
60, 80 and 100 % of the time, the one with the lowest loss on validation rows is kept. Test rows are never read.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Iterator

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor
from torch.nn import functional as F

from local import answer, as_chat, load_base
from recipes import RECIPES, Recipe
from tasks import TASKS, Example, evaluation_rows

IGNORED = -100
CHECKS = (0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Coded:
    """Token ids of `<s> prompt answer </s>`, and how many of them are prompt."""

    ids: list[int]
    prompt: int


def encode(tokenizer, examples: list[Example], length: int, chat: bool) -> list[Coded]:
    """Examples as ids; those longer than `length` tokens are left out. `chat`: as a user's message and the reply to it."""
    if chat:
        examples = [Example(as_chat(tokenizer, example.prompt), example.answer.strip()) for example in examples]
    prompts = tokenizer([example.prompt for example in examples])["input_ids"]
    answers = tokenizer([example.answer for example in examples], add_special_tokens=False)["input_ids"]
    coded = [Coded([*p, *a, tokenizer.eos_token_id], len(p)) for p, a in zip(prompts, answers)]
    return [one for one in coded if len(one.ids) <= length]


def collate(rows: list[Coded], pad: int) -> tuple[Tensor, Tensor]:
    """Right-padded inputs and labels (already shifted), [batch, time]; padding needs no mask under causal attention."""
    time_steps = -(-(max(len(row.ids) for row in rows) - 1) // 8) * 8
    inputs = torch.full((len(rows), time_steps), pad)
    labels = torch.full((len(rows), time_steps), IGNORED)
    for i, row in enumerate(rows):
        inputs[i, : len(row.ids) - 1] = torch.tensor(row.ids[:-1])
        labels[i, row.prompt - 1 : len(row.ids) - 1] = torch.tensor(row.ids[row.prompt :])
    return inputs, labels


def batches(rows: list[Coded], size: int, pad: int, rng: Random) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch in random order, rows of like length together."""
    jittered = sorted(rows, key=lambda row: len(row.ids) + rng.uniform(0, 12))
    groups = [jittered[i : i + size] for i in range(0, len(jittered), size)]
    rng.shuffle(groups)
    return (collate(group, pad) for group in groups)


def answer_loss(model: PeftModel, inputs: Tensor, labels: Tensor, bf16: bool) -> Tensor:
    """Mean loss over the answer's tokens; the head is applied to those positions only. `bf16`: matrix products in bf16."""
    llama = model.get_base_model()
    wanted = labels != IGNORED
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        hidden = llama.model(input_ids=inputs, use_cache=False).last_hidden_state
        logits = llama.lm_head(hidden[wanted])
    return F.cross_entropy(logits.float(), labels[wanted])


@torch.no_grad()
def validation_loss(model: PeftModel, rows: list[Coded], pad: int, bf16: bool) -> float:
    """Mean of the batch losses over validation rows."""
    model.eval()
    ordered = sorted(rows, key=lambda row: len(row.ids))
    losses = [answer_loss(model, *collate(ordered[i : i + 32], pad), bf16).item() for i in range(0, len(ordered), 32)]
    model.train()
    return sum(losses) / len(losses)


def lora_config(recipe: Recipe) -> LoraConfig:
    """PEFT's configuration of a recipe."""
    settings = {"r": recipe.rank, "lora_alpha": 2 * recipe.rank, "target_modules": recipe.targets, **recipe.extra}
    return LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, bias="none", **settings)


def train(model: PeftModel, tokenizer, args: argparse.Namespace, recipe: Recipe) -> None:
    """Trains in place for the allotted time and leaves the best checked state in the model."""
    task, rng, pad = TASKS[args.task], Random(args.seed), tokenizer.pad_token_id
    held = encode(tokenizer, evaluation_rows(task, args.data, "valid", args.held), args.length, recipe.chat)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=recipe.rate, betas=(0.9, 0.98), weight_decay=0.0)
    begun, seconds = time.time(), (args.minutes or recipe.minutes) * 60
    step = epoch = seen = 0
    checks, best, kept, total = list(CHECKS), float("inf"), {}, 0.0
    while checks:
        rows = encode(tokenizer, task.examples(args.data, "train", rng), args.length, recipe.chat)
        for inputs, labels in batches(rows, recipe.batch, pad, rng):
            progress = (time.time() - begun) / seconds
            if progress >= checks[0]:
                checks = [check for check in checks if check > progress]
                loss = validation_loss(model, held, pad, args.bf16)
                print(f"{args.task}: at {progress:.2f} validation loss {loss:.4f}", flush=True)
                if loss < best:
                    best, kept = loss, {k: v.clone() for k, v in get_peft_model_state_dict(model).items()}
                if not checks:
                    break
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate * min(1.0, (step + 1) / 20) * max(0.0, 1 - progress)
            loss = answer_loss(model, inputs, labels, args.bf16)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step, seen, total = step + 1, seen + inputs.numel(), total + loss.item()
            if step % 50 == 0:
                speed = seen / (time.time() - begun)
                print(f"{args.task}: step {step} epoch {epoch} loss {total / 50:.3f} tok/s {speed:.0f}", flush=True)
                total = 0.0
        epoch += 1
    set_peft_model_state_dict(model, kept)
    print(f"{args.task}: {step} steps, {epoch - 1} whole epochs of {len(rows)} rows, {seen} tokens", flush=True)


def save(model: PeftModel, base_name: str, out: Path) -> None:
    """Writes a PEFT folder with bf16 tensors."""
    model.peft_config["default"].base_model_name_or_path = base_name
    state = {name: tensor.to(torch.bfloat16) for name, tensor in model.state_dict().items()}
    model.save_pretrained(out, state_dict=state, save_embedding_layers=False)
    (out / "README.md").unlink(missing_ok=True)
    config = json.loads((out / "adapter_config.json").read_text())
    if isinstance(config["target_modules"], list):  # PEFT writes a set, in random order
        config["target_modules"].sort()
    (out / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", help="one of the tasks that the recipes name")
    parser.add_argument("--recipes", choices=sorted(RECIPES), default="graft-5m", help="which base they are for (default: %(default)s)")
    parser.add_argument("--data", type=Path, required=True, help="folder with one sub-folder per data set")
    parser.add_argument("--base", type=Path, required=True, help="Hugging Face folder of the base")
    parser.add_argument("--base-name", default="polygraft/graft-5m", help="name written into adapter_config.json")
    parser.add_argument("--out", type=Path, required=True, help="folder for the adapter")
    parser.add_argument("--minutes", type=float, help="training time (default: the recipe's)")
    parser.add_argument("--rate", type=float, help="peak learning rate (default: the recipe's)")
    parser.add_argument("--start", type=Path, help="go on from this adapter instead of a new one")
    parser.add_argument("--group", type=int, default=32, help="quantization group (default: %(default)s)")
    parser.add_argument("--length", type=int, default=256, help="longest example in tokens (default: %(default)s)")
    parser.add_argument("--held", type=int, default=320, help="validation rows for stopping (default: %(default)s)")
    parser.add_argument("--bf16", action="store_true", help="matrix products in bf16: faster where the CPU has them, on larger models")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    if args.task not in RECIPES[args.recipes]:
        parser.error(f"no recipe for {args.task}; there is one for {', '.join(RECIPES[args.recipes])}")
    recipe = RECIPES[args.recipes][args.task]
    if args.rate:
        recipe = replace(recipe, rate=args.rate)
    base, tokenizer = load_base(args.base, args.group)
    if args.start:
        model = PeftModel.from_pretrained(base, args.start, is_trainable=True, autocast_adapter_dtype=True)
    else:
        model = get_peft_model(base, lora_config(recipe))
    train(model, tokenizer, args, recipe)
    save(model, args.base_name, args.out)

    task = TASKS[args.task]
    rows = evaluation_rows(task, args.data, "valid", min(args.held, 100))
    prompts = [as_chat(tokenizer, row.prompt) if recipe.chat else row.prompt for row in rows]
    answers = answer(model.eval(), tokenizer, prompts, task.max_tokens)
    score = task.metric(answers, [row.answer for row in rows])
    print(f"{args.task}: validation {task.metric_name} {score:.3f}", flush=True)
    for row, said in list(zip(rows, answers))[:3]:
        print(f"  {row.prompt!r}\n  said {said!r}\n  gold {row.answer!r}")


if __name__ == "__main__":
    main()
