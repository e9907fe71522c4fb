"""The three figures of the tables: exact answers, ROUGE-L and slot F1, each between 0 and 1."""

from __future__ import annotations

import re
from collections import Counter
from typing import Callable, Sequence

Metric = Callable[[Sequence[str], Sequence[str]], float]


def accuracy(predictions: Sequence[str], references: Sequence[str]) -> float:
    """Share of answers that equal the reference, up to surrounding white space."""
    return sum(p.strip() == r.strip() for p, r in zip(predictions, references)) / len(references)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def _common(a: list[str], b: list[str]) -> int:
    row = [0] * (len(b) + 1)
    for x in a:
        before = 0
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], before + 1 if x == y else max(row[j], row[j - 1])
    return row[-1]


def rouge_l(predictions: Sequence[str], references: Sequence[str]) -> float:
    """Mean F-measure of the longest common subsequence of words (Lin, 2004), one reference a row, no stemming."""

    def one(prediction: str, reference: str) -> float:
        a, b = _words(prediction), _words(reference)
        common = _common(a, b)
        return 2 * common / (len(a) + len(b)) if common else 0.0

    return sum(map(one, predictions, references)) / len(references)


def _parts(text: str) -> Counter[str]:
    """The `slot: value` pairs of the adapters' notation, and its dialogue act, which has no value."""
    return Counter(part.strip() for part in text.split("; "))


def slot_f1(predictions: Sequence[str], references: Sequence[str]) -> float:
    """Micro F1 over `slot: value` pairs; a pair counts when slot and value are both right, letter by letter."""
    hits = guessed = wanted = 0
    for prediction, reference in zip(predictions, references):
        a, b = _parts(prediction), _parts(reference)
        hits, guessed, wanted = hits + (a & b).total(), guessed + a.total(), wanted + b.total()
    return 2 * hits / (guessed + wanted) if hits else 0.0
