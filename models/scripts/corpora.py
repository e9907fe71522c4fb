"""Readers for the public data sets: one function per set, each returning typed rows of one split.

Splits are `train`, `valid` and `test`. Where the authors publish no validation split, a fixed tenth of the
training rows is held out, so that pre-training, stopping and the final figure never share a row.
"""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, Literal, TypeVar
from zlib import crc32

Split = Literal["train", "valid", "test"]
Row = TypeVar("Row")


@dataclass(frozen=True)
class Labelled:
    """One text with one label."""

    text: str
    label: str


@dataclass(frozen=True)
class Pair:
    """A meaning representation and a sentence that says it."""

    mr: str
    text: str


@dataclass(frozen=True)
class Mentions:
    """A sentence with the chemicals and diseases it names, in order of appearance."""

    text: str
    chemicals: tuple[str, ...]
    diseases: tuple[str, ...]


@dataclass(frozen=True)
class Problem:
    """A word problem and its worked answer."""

    question: str
    answer: str


SLOT = re.compile(r"(\w+)\[(.*?)\]")


def slots(mr: str) -> list[tuple[str, str]]:
    """Every `slot[value]` of a meaning representation, in order."""
    return SLOT.findall(mr)


def act(mr: str) -> str:
    """The dialogue act of a ViGGO meaning representation: the word before the parenthesis."""
    return mr.split("(", 1)[0]


def notation(mr: str) -> str:
    """A meaning representation in the adapters' notation: `give opinion; name: SpellForce 3; rating: poor`."""
    said = [act(mr).replace("_", " ")] if "(" in mr else []
    return "; ".join(said + [f"{key.replace('_', ' ')}: {value}" for key, value in slots(mr)])


def held_out(key: str) -> bool:
    """Whether a training row belongs to the fixed tenth that only validation may see."""
    return crc32(key.encode()) % 10 == 0


def _carve(rows: Iterable[tuple[str, Row]], split: Split) -> list[Row]:
    return [row for key, row in rows if held_out(key) == (split == "valid")]


def _csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def banking77(data: Path, split: Split) -> list[Labelled]:
    """Customer questions with one of 77 intents (PolyAI, CC BY 4.0)."""
    rows = [
        Labelled(" ".join(row["text"].split()), row["category"].rstrip("?").lower())
        for row in _csv(data / "banking77" / f"{'test' if split == 'test' else 'train'}.csv")
    ]
    return rows if split == "test" else _carve(((row.text, row) for row in rows), split)


def sst2(data: Path, split: Split) -> list[Labelled]:
    """Film review phrases, `positive` or `negative` (Stanford Sentiment Treebank)."""
    name = {"train": "train", "valid": "dev", "test": "test"}[split]
    lines = (data / "sst2" / f"{name}.tsv").read_text(encoding="utf-8").splitlines()[1:]
    cells = (line.rsplit("\t", 1) for line in lines if "\t" in line)
    return [Labelled(text.strip(), "positive" if label.strip() == "1" else "negative") for text, label in cells]


def viggo(data: Path, split: Split) -> list[Pair]:
    """Video game dialogue: an act with slots, and an utterance (CC BY-SA 4.0)."""
    return [Pair(row["mr"], row["ref"]) for row in _csv(data / "viggo" / f"{split}.csv")]


def e2e(data: Path, split: Split) -> list[Pair]:
    """Restaurant descriptions: slots, and a sentence (CC BY-SA 4.0)."""
    return [Pair(row["mr"], row["ref"]) for row in _csv(data / "e2e_nlg" / f"{split}.csv")]


def bc5cdr(data: Path, split: Split) -> list[Mentions]:
    """Biomedical sentences with chemicals and diseases marked (CC BY 4.0)."""
    name = {"train": "train", "valid": "devel", "test": "test"}[split]
    blocks = (data / "bc5cdr" / f"{name}.tsv").read_text(encoding="utf-8").strip().split("\n\n")
    return [_mentions([line.split("\t") for line in block.splitlines() if "\t" in line]) for block in blocks]


def _mentions(tagged: list[list[str]]) -> Mentions:
    found: dict[str, list[list[str]]] = {"Chemical": [], "Disease": []}
    for word, tag in tagged:
        if tag.startswith("B-"):
            found[tag[2:]].append([word])
        elif tag.startswith("I-") and found[tag[2:]]:
            found[tag[2:]][-1].append(word)
    names = {kind: tuple(dict.fromkeys(" ".join(words) for words in spans)) for kind, spans in found.items()}
    return Mentions(" ".join(word for word, _ in tagged), names["Chemical"], names["Disease"])


def gsm8k(data: Path, split: Split) -> list[Problem]:
    """Grade-school word problems (MIT); calculator marks are removed from the answers."""
    path = data / "gsm8k" / f"{'test' if split == 'test' else 'train'}.jsonl"
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    problems = [Problem(row["question"], re.sub(r"<<.*?>>", "", row["answer"]).replace("####", "Answer:")) for row in rows]
    return problems if split == "test" else _carve(((row.question, row) for row in problems), split)


def cola(data: Path, split: Split) -> list[Labelled]:
    """Sentences from linguistics texts, `acceptable` or `unacceptable`."""
    name = {"train": "train", "valid": "val", "test": "dev"}[split]
    lines = (data / "cola" / f"{name}.tsv").read_text(encoding="utf-8").splitlines()
    cells = (line.split("\t") for line in lines)
    return [Labelled(cell[3], "acceptable" if cell[1] == "1" else "unacceptable") for cell in cells if len(cell) > 3]
