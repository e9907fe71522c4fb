"""The pre-training mix: short documents written from the training splits in many natural templates.

The templates differ on purpose from the adapters' prompts (see tasks.py): the base should learn the language and
the skills (sentiment, topics, slots and back, copying names), and leave the formats to the adapters. Names are often
replaced by invented ones, because a model that sees the same thirty names over and over never learns to copy.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Callable, Iterator

from corpora import Labelled, Mentions, Pair, Problem, act, banking77, bc5cdr, cola, e2e, gsm8k, slots, sst2, viggo
from names import WORDS, invented_name, invented_word, rename

Document = Callable[[Random], str]
ANSWER = "\x1e"
"""Stands before the part of a document that follows from what was said before; training gives it more weight."""


def praise(row: Labelled, rng: Random) -> str:
    """A review phrase with a remark that gives its sentiment away, before or after it."""
    good = row.label == "positive"
    after = (
        ["The critic liked it.", "That is praise.", "In short, good.", "A happy viewer.", "Thumbs up.", "Great stuff!"]
        if good
        else ["The critic hated it.", "That is a complaint.", "In short, bad.", "An unhappy viewer.", "Thumbs down.", "Awful!"]
    )
    before = (
        ["Something nice about a film", "A fan said", "From a good review", "What they loved"]
        if good
        else ["Something mean about a film", "A hater said", "From a bad review", "What they disliked"]
    )
    return rng.choice(
        [
            f"{row.text}{ANSWER} {rng.choice(after)}",
            f"{row.text}{ANSWER} {rng.choice(after)}",
            f'A critic wrote: "{row.text}"{ANSWER} {rng.choice(after)}',
            f"{rng.choice(before)}: {row.text}",
            f"Was the film good? They said: {row.text}.{ANSWER} {'Yes, good.' if good else 'No, bad.'}",
        ]
    )


def topic_words(label: str) -> str:
    """An intent as plain words: `card_arrival` becomes `card arrival`."""
    return label.replace("_", " ")


def banking_document(rows: dict[str, list[Labelled]], rng: Random) -> str:
    """Customer questions: one with its subject, several of one subject, or a pair compared."""
    labels = list(rows)
    label = rng.choice(labels)
    ask = rng.choice(rows[label]).text
    words = topic_words(label)
    kind = rng.random()
    if kind < 0.2:
        return f"Questions about {words}:\n" + "\n".join(f"- {row.text}" for row in rng.sample(rows[label], 3))
    if kind < 0.4:
        same = rng.random() < 0.5
        other = label if same else rng.choice(labels)
        verdict = "the same subject" if other == label else "different subjects"
        return f"{ask}\n{rng.choice(rows[other]).text}\nThese two are about{ANSWER} {verdict}: {words}" + (
            "." if other == label else f" and {topic_words(other)}."
        )
    return rng.choice(
        [
            f"{ask}\nThis is about{ANSWER} {words}.",
            f'Someone asked the bank: "{ask}" It is a question on{ANSWER} {words}.',
            f"About {words}: {ask}",
            f"{ask}{ANSWER} ({words})",
            f"Support desk. Message: {ask} Subject ={ANSWER} {words}",
        ]
    )


def _facts(pairs: list[tuple[str, str]], rng: Random) -> str:
    """Slots as a list in one of several notations, none of which an adapter uses."""
    style = rng.randrange(4)
    shown = [(key.replace("_", " "), value) for key, value in pairs]
    if style == 0:
        return "; ".join(f"{key}: {value}" for key, value in shown)
    if style == 1:
        return "\n".join(f"{key} = {value}" for key, value in shown)
    if style == 2:
        return ", ".join(f"the {key} is {value}" for key, value in shown)
    return " | ".join(f"{key} > {value}" for key, value in shown)


def slot_document(pair: Pair, about: str, rng: Random) -> str:
    """A sentence and its slots, in either direction, or one question about one slot."""
    renamed = rename(pair, rng) if rng.random() < 0.6 else pair
    pairs = slots(renamed.mr)
    text = renamed.text
    purpose = f" ({act(renamed.mr).replace('_', ' ')})" if "(" in renamed.mr else ""
    kind = rng.random()
    if not pairs:
        return f"{text}{purpose}"
    if kind < 0.35:
        return f"Facts about a {about}{purpose}: {_facts(pairs, rng)}\nIn words:{ANSWER} {text}"
    if kind < 0.75:
        return f"{text}\nWhat this says about the {about}{purpose}:{ANSWER} {_facts(pairs, rng)}"
    key, value = rng.choice(pairs)
    asked = key.replace("_", " ")
    return rng.choice(
        [f"{text}\nAnd the {asked}?{ANSWER} {value}", f"{text} So its {asked} is{ANSWER} {value}", f"The {asked} is {value}.{ANSWER} {text}"]
    )


def medical_document(row: Mentions, rng: Random) -> str:
    """A biomedical sentence, alone or with the substances and illnesses it names."""
    substances = ", ".join(row.chemicals) or "none"
    illnesses = ", ".join(row.diseases) or "none"
    return rng.choice(
        [
            row.text,
            f"{row.text}\nSubstances:{ANSWER} {substances}\nIllnesses: {illnesses}",
            f"{row.text} It names these substances:{ANSWER} {substances}",
            f"{row.text} It names these illnesses:{ANSWER} {illnesses}",
            f"On {illnesses} and {substances}: {row.text}",
        ]
    )


def recall_document(rng: Random) -> str:
    """Invented names to be repeated or looked up: the shortest way to learn copying from the context."""
    names = [invented_name(rng) for _ in range(rng.randint(2, 5))]
    kind = rng.randrange(5)
    if kind == 0:
        listed = ", ".join(names)
        return f"Repeat: {listed}\nOnce more:{ANSWER} {listed}"
    if kind == 1:
        things = [invented_name(rng) for _ in names]
        pick = rng.randrange(len(names))
        told = " ".join(f"{name} has {thing}." for name, thing in zip(names, things))
        return f"{told} Who has {things[pick]}?{ANSWER} {names[pick]}. What does {names[pick]} have? {things[pick]}."
    if kind == 2:
        keys = rng.sample(["name", "near", "developer", "place", "owner", "title", "friend", "street", "maker"], len(names))
        pairs = list(zip(keys, names))
        swapped = rng.sample(pairs, len(pairs))
        return f"{_facts(pairs, rng)}\nin another order:{ANSWER} {_facts(swapped, rng)}"
    if kind == 3:
        return "\n".join(names) + f"{ANSWER}\n" + "\n".join(names)
    first, second = names[0], names[1]
    return f"{first} is near {second}. If you are at {second}, go to{ANSWER} {first}. So {first} is close to {second}."


def echo_document(rng: Random) -> str:
    """Lines of random words, then the same lines in another order: after its first word, a line is only to be copied."""
    def word() -> str:
        return rng.choice(WORDS) if rng.random() < 0.4 else invented_word(rng).lower()

    lines = [" ".join(word() for _ in range(rng.randint(3, 8))) for _ in range(rng.randint(1, 5))]
    again = [line for _ in range(rng.randint(1, 2)) for line in rng.sample(lines, len(lines))]
    between = rng.choice(["\n", " / ", ", "])
    return between.join(lines) + ANSWER + between + between.join(again)


def problem_document(row: Problem, _rng: Random) -> str:
    """A word problem with its worked answer."""
    return f"{row.question}\n{row.answer}"


def documents(data: Path, rng: Random) -> Iterator[str]:
    """An endless stream of documents; templates and rows are drawn anew each time."""
    by_label: dict[str, list[Labelled]] = {}
    for row in banking77(data, "train"):
        by_label.setdefault(row.label, []).append(row)
    reviews, games, places = sst2(data, "train"), viggo(data, "train"), e2e(data, "train")
    papers, problems = bc5cdr(data, "train"), gsm8k(data, "train")
    correct = [row for row in cola(data, "train") if row.label == "acceptable"]
    sources: list[tuple[float, Document]] = [
        (0.32, lambda r: praise(r.choice(reviews), r)),
        (0.19, lambda r: banking_document(by_label, r)),
        (0.13, lambda r: slot_document(r.choice(games), "game", r)),
        (0.10, lambda r: slot_document(r.choice(places), "place", r)),
        (0.06, lambda r: medical_document(r.choice(papers), r)),
        (0.08, recall_document),
        (0.06, echo_document),
        (0.01, lambda r: problem_document(r.choice(problems), r)),
        (0.01, lambda r: r.choice(correct).text),
    ]
    weights = [weight for weight, _ in sources]
    makers = [maker for _, maker in sources]
    while True:
        yield rng.choices(makers, weights)[0](rng)
