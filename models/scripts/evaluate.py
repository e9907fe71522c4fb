"""Scores base and adapters on test rows and prints a Markdown table.

With --router the answers come from the served system (router, workers, 4-bit engine); with --base they come from
PyTorch on the same rounded weights, which checks one against the other. Greedy in both cases.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Callable

from recipes import RECIPES
from tasks import TASKS, Task, evaluation_rows, most_frequent

Answers = Callable[[list[str], str | None, int, bool], list[str]]


def local_answers(base: Path, adapters: Path, group: int, threads: int) -> Answers:
    """Answers from PyTorch; adapters are applied beside the rounded base, never merged into it."""
    import torch
    from peft import PeftModel

    from local import answer, as_chat, load_base

    torch.set_num_threads(threads)

    def answers(prompts: list[str], adapter: str | None, max_tokens: int, chat: bool) -> list[str]:
        model, tokenizer = load_base(base, group)
        if chat:
            prompts = [as_chat(tokenizer, prompt) for prompt in prompts]
        if adapter is not None:
            model = PeftModel.from_pretrained(model, adapters / adapter).eval()
        return answer(model, tokenizer, prompts, max_tokens)

    return answers


def evaluate(name: str, task: Task, args: argparse.Namespace, answers: Answers) -> dict[str, object]:
    """One line of the table: base, adapter, and the best constant answer where the metric is accuracy."""
    rows = evaluation_rows(task, args.data, "test", args.rows)
    prompts, references = [row.prompt for row in rows], [row.answer for row in rows]
    begun = time.time()
    chat = RECIPES[args.recipes][name].chat
    base = answers(prompts, None, task.max_tokens, chat)
    grafted = answers(prompts, name, task.max_tokens, chat)
    constant = [most_frequent(references)] * len(references)
    return {
        "task": name,
        "metric": task.metric_name,
        "rows": len(rows),
        "constant": round(task.metric(constant, references), 3) if task.metric_name == "accuracy" else None,
        "base": round(task.metric(base, references), 3),
        "adapter": round(task.metric(grafted, references), 3),
        "seconds": round(time.time() - begun, 1),
        "example": {"prompt": prompts[0], "reference": references[0], "base": base[0], "adapter": grafted[0]},
    }


def table(results: list[dict[str, object]]) -> str:
    """The results as Markdown."""
    lines = ["| adapter | metric | rows | constant answer | base | with adapter |", "|---|---|---|---|---|---|"]
    for r in results:
        constant = "–" if r["constant"] is None else f"{r['constant']:.3f}"
        lines.append(f"| {r['task']} | {r['metric']} | {r['rows']} | {constant} | {r['base']:.3f} | **{r['adapter']:.3f}** |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", help="adapters to score (default: all that have a folder)")
    parser.add_argument("--data", type=Path, required=True, help="folder with one sub-folder per data set")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--router", help="HOST:PORT of a running router or worker")
    source.add_argument("--base", type=Path, help="Hugging Face folder of the base, to answer with PyTorch instead")
    models = Path(__file__).resolve().parent.parent
    parser.add_argument("--recipes", choices=sorted(RECIPES), default="graft-5m", help="which base it is (default: %(default)s)")
    parser.add_argument("--adapters", type=Path, default=models / "adapters", help="folder of the adapters")
    parser.add_argument("--proto", type=Path, default=models.parent / "proto", help="folder of the contract")
    parser.add_argument("--rows", type=int, default=500, help="test rows a task (default: %(default)s)")
    parser.add_argument("--streams", type=int, default=16, help="generations in flight (default: %(default)s)")
    parser.add_argument("--group", type=int, default=32, help="quantization group, PyTorch only (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="PyTorch only (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    args = parser.parse_args()

    if args.router:
        from served import Served

        answers = Served(args.router, args.proto, args.streams).answers
    else:
        answers = local_answers(args.base, args.adapters, args.group, args.threads)
    names = args.tasks or [name for name in TASKS if (args.adapters / name).is_dir()]
    results = []
    for name in names:
        results.append(evaluate(name, TASKS[name], args, answers))
        print(json.dumps(results[-1]), file=sys.stderr, flush=True)
        if args.json:
            args.json.write_text(json.dumps(results, indent=2) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
