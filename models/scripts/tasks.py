"""The adapters' tasks: how a row becomes a prompt and an answer, and how answers are judged.

Every prompt ends with a colon and every answer begins with a space, so that the two meet at a token boundary. Answers are plain words: tokens that the base never met, such as underscores
and brackets, have an untrained row in the frozen head, and an adapter can hardly make the model say them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Callable

from corpora import Labelled, Mentions, Pair, Split, act, banking77, bc5cdr, e2e, notation, slots, sst2, viggo
from metrics import Metric, accuracy, rouge_l, slot_f1
from names import rename
from topics import TOPIC_OF


@dataclass(frozen=True)
class Example:
    """What the model is given and what it should say."""

    prompt: str
    answer: str


Examples = Callable[[Path, Split, Random], list[Example]]


@dataclass(frozen=True)
class Task:
    """One task: examples of a split, the metric and its name, and the most tokens an answer needs."""

    examples: Examples
    metric: Metric
    metric_name: str
    max_tokens: int


def _intent(row: Labelled) -> Example:
    return Example(f"Query: {row.text}\nIntent:", f" {row.label.replace('_', ' ')}")


def _topic(row: Labelled) -> Example:
    return Example(f"Query: {row.text}\nTopic:", f" {TOPIC_OF[row.label]}")


def _sentiment(row: Labelled) -> Example:
    return Example(f"Review: {row.text}\nSentiment:", f" {row.label}")


def _sentence(pair: Pair) -> Example:
    return Example(f"Meaning: {notation(pair.mr)}\nSentence:", f" {pair.text}")


def _meaning(pair: Pair) -> Example:
    return Example(f"Utterance: {pair.text}\nMeaning:", f" {notation(pair.mr)}")


def _act(pair: Pair) -> Example:
    return Example(f"Utterance: {pair.text}\nAct:", f" {act(pair.mr).replace('_', ' ')}")


def _slots(pair: Pair) -> Example:
    return Example(f"Description: {pair.text}\nSlots:", f" {notation(pair.mr)}")


def _price(pair: Pair) -> Example:
    return Example(f"Description: {pair.text}\nPrice:", f" {dict(slots(pair.mr)).get('priceRange', 'not stated')}")


def _venue(pair: Pair) -> Example:
    return Example(f"Description: {pair.text}\nVenue:", f" {dict(slots(pair.mr))['name']}")


def _mentions(row: Mentions) -> Example:
    kinds = [kind for kind, names in (("chemical", row.chemicals), ("disease", row.diseases)) if names]
    return Example(f"Abstract: {row.text}\nMentions:", f" {' and '.join(kinds) or 'neither'}")


def _names_its_venue(pair: Pair) -> bool:
    name = dict(slots(pair.mr)).get("name")
    return name is not None and name in pair.text


def _labelled(read: Callable[[Path, Split], list[Labelled]], make: Callable[[Labelled], Example]) -> Examples:
    return lambda data, split, _rng: [make(row) for row in read(data, split)]


def _reviews(data: Path, split: Split, _rng: Random) -> list[Example]:
    """Reviews; in training, only those of seven words and more, because the test rows are whole sentences."""
    rows = sst2(data, split)
    return [_sentiment(row) for row in rows if split != "train" or len(row.text.split()) > 6]


def _paired(
    read: Callable[[Path, Split], list[Pair]],
    make: Callable[[Pair], Example],
    renamed: float,
    keep: Callable[[Pair], bool] = lambda _pair: True,
) -> Examples:
    """Pairs as examples; in training, a share of them is given invented names, to teach copying."""

    def examples(data: Path, split: Split, rng: Random) -> list[Example]:
        share = renamed if split == "train" else 0.0
        pairs = (pair for pair in read(data, split) if keep(pair))
        return [make(rename(pair, rng) if rng.random() < share else pair) for pair in pairs]

    return examples


TASKS: dict[str, Task] = {
    "banking77-intent": Task(_labelled(banking77, _intent), accuracy, "accuracy", 16),
    "banking77-topic": Task(_labelled(banking77, _topic), accuracy, "accuracy", 6),
    "sst2-sentiment": Task(_reviews, accuracy, "accuracy", 4),
    "viggo-sentence": Task(_paired(viggo, _sentence, 0.0), rouge_l, "ROUGE-L", 90),
    "viggo-meaning": Task(_paired(viggo, _meaning, 0.5), slot_f1, "slot F1", 96),
    "viggo-act": Task(_paired(viggo, _act, 0.3), accuracy, "accuracy", 8),
    "e2e-slots": Task(_paired(e2e, _slots, 0.7), slot_f1, "slot F1", 64),
    "e2e-price": Task(_paired(e2e, _price, 0.3), accuracy, "accuracy", 10),
    "e2e-venue": Task(_paired(e2e, _venue, 0.9, _names_its_venue), accuracy, "accuracy", 16),
    "bc5cdr-mentions": Task(
        lambda data, split, _rng: [_mentions(row) for row in bc5cdr(data, split)], accuracy, "accuracy", 8
    ),
}


def evaluation_rows(task: Task, data: Path, split: Split, rows: int, seed: int = 7) -> list[Example]:
    """A fixed sample of a split, without a repeated row."""
    shuffled = list(dict.fromkeys(task.examples(data, split, Random(seed))))
    Random(seed).shuffle(shuffled)
    return shuffled[:rows]


def most_frequent(references: list[str]) -> str:
    """The answer that a model without eyes would always give."""
    return Counter(references).most_common(1)[0][0]
