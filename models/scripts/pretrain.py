"""Pre-trains the base on the mix and exports it as a Hugging Face checkpoint.

The learning rate falls to zero over a stretch of wall-clock time, so that the end is planned. A control file (JSON,
read before every step) may change `nice` (of the helping processes), `deadline` (seconds since the epoch) and `stop`
while it runs; a checkpoint is written regularly, and the same command goes on from it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from random import Random
from typing import Iterator

import torch
from tokenizers import Tokenizer
from torch import Tensor

from mix import ANSWER, documents
from crew import Crew
from model import Shape, export
from tokenizer import CONTEXT

BOS_ID, EOS_ID = 0, 1
CONTEXT_WEIGHT, ANSWER_WEIGHT = 20, 100
DOCUMENTS_PER_CHUNK = 8000


def encoded(texts: list[str], tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Token ids of `<s> text </s>` documents one after the other, and the weight of each in percent."""
    ids: list[int] = []
    weights: list[int] = []
    parts = [(part, number) for text in texts for number, part in enumerate(text.split(ANSWER))]
    coded = tokenizer.encode_batch([part for part, _ in parts], add_special_tokens=False)
    for (_, number), part in zip(parts, coded):
        if number == 0:
            ids += [EOS_ID] * bool(ids) + [BOS_ID]
            weights += [CONTEXT_WEIGHT] * (len(ids) - len(weights))
        ids += part.ids
        weights += [CONTEXT_WEIGHT if number == 0 else ANSWER_WEIGHT] * len(part.ids)
    return ids, weights


def blocks(data: Path, tokenizer: Tokenizer, batch: int, length: int, rng: Random) -> Iterator[Tensor]:
    """Batches of packed documents, [batch, 2, length + 1]: token ids, and their weights in percent."""
    stream = documents(data, rng)
    while True:
        streams = encoded([next(stream) for _ in range(DOCUMENTS_PER_CHUNK)], tokenizer)
        size = batch * (length + 1)
        used = len(streams[0]) // size * size
        packed = torch.stack([torch.tensor(one[:used]).view(-1, length + 1) for one in streams], dim=1)
        packed = packed[torch.randperm(len(packed), generator=torch.Generator().manual_seed(rng.randrange(2**31)))]
        yield from packed.split(batch)


def learning_rate(progress: float, step: int, warmup: int) -> float:
    """Share of the peak rate: a linear warm-up in steps, then linear to zero in time."""
    return min(1.0, (step + 1) / warmup) * max(0.0, 1.0 - progress)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with one sub-folder per data set")
    parser.add_argument("--out", type=Path, required=True, help="folder of the base model; holds the tokenizer already")
    parser.add_argument("--work", type=Path, required=True, help="folder for the checkpoint and the control file")
    parser.add_argument("--minutes", type=float, default=60.0, help="time to train for (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="single-threaded processes (default: %(default)s)")
    parser.add_argument("--piece", type=int, default=2, help="sequences a process takes at once (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=16, help="sequences a step (default: %(default)s)")
    parser.add_argument("--length", type=int, default=256, help="tokens a sequence (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=3e-3, help="AdamW's peak learning rate (default: %(default)s)")
    parser.add_argument("--muon-rate", type=float, default=2e-2, help="Muon's peak learning rate (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    args.work.mkdir(parents=True, exist_ok=True)
    control, checkpoint = args.work / "control.json", args.work / "checkpoint.pt"
    shape = Shape()
    crew = Crew(shape, args.length, args.batch, args.piece, args.workers)
    model = crew.me.model
    optimizer = torch.optim.AdamW(crew.parameters(), lr=args.rate, betas=(0.9, 0.95), weight_decay=0.0)
    step, seen, spent = 0, 0, 0.0
    if checkpoint.exists():
        saved = torch.load(checkpoint)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        for kept, momentum in zip(saved["momentum"], crew.shared.momentum):
            momentum.copy_(kept)
        step, seen, spent = saved["step"], saved["seen"], saved["spent"]
    begun = time.time() - spent
    deadline, nice, stop = begun + args.minutes * 60, 0, False
    tokenizer = Tokenizer.from_file(str(args.out / "tokenizer.json"))
    stream = blocks(args.data, tokenizer, args.batch, args.length, Random(args.seed + step))
    shown, shown_at, total, saved_at = seen, time.time(), 0.0, time.time()
    while time.time() < deadline and not stop:
        if control.exists():
            wishes = json.loads(control.read_text())
            deadline, nice, stop = wishes.get("deadline", deadline), wishes.get("nice", nice), wishes.get("stop", False)
        share = learning_rate((time.time() - begun) / (deadline - begun), step, warmup=100)
        optimizer.param_groups[0]["lr"] = args.rate * share
        total += crew.step(next(stream), args.muon_rate * share, optimizer, nice)
        step, seen = step + 1, seen + args.batch * args.length
        if step % 20 == 0:
            speed = (seen - shown) / (time.time() - shown_at)
            print(f"step {step} tokens {seen} loss {total / 20:.3f} rate {share:.3f} tok/s {speed:.0f}", flush=True)
            shown, shown_at, total = seen, time.time(), 0.0
        if time.time() - saved_at > 180:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "momentum": crew.shared.momentum}
            torch.save({**state, "step": step, "seen": seen, "spent": time.time() - begun}, checkpoint.with_suffix(".new"))
            checkpoint.with_suffix(".new").rename(checkpoint)
            saved_at = time.time()
    crew.dismiss()
    export(model.state_dict(), shape, CONTEXT, args.out)
    print(f"done: {step} steps, {seen} tokens, {(time.time() - begun) / 60:.1f} minutes", flush=True)


if __name__ == "__main__":
    main()
