"""Invented names, and sentences in which the real names are replaced by invented ones."""

from __future__ import annotations

import re
from random import Random

from corpora import Pair, slots

ONSETS = "b br c ch cl d dr f fl g gr h j k l m n p pl pr qu r s sh st t th tr v w".split()
NUCLEI = "a e i o u ai ea ee oo ou".split()
CODAS = ["", "", "", "n", "r", "s", "t", "l", "ck", "rd", "nd", "st", "x", "m"]
WORDS = (
    "Green Red Blue Golden Silver Old New Little Grand Royal Wild Quiet Dark Bright Lost Last First Iron Stone River "
    "Mountain Forest Garden Bridge Harbour Castle Tower Mill Farm Lion Fox Bear Wolf Raven Swan Horse Dragon Phoenix "
    "King Queen Knight Sailor Hunter Baker Miller Fisher Star Moon Sun Storm Winter Summer Night Dawn Shadow Fire Ice "
    "Crown Sword Anchor Bell Lamp Rose Oak Willow Maple Apple Cherry Olive Pepper Ginger Plum Barn Cellar Corner Arms "
    "Inn House Kitchen Table Bistro Bar Grill Palace Lodge Park Square Station Market Legends Empire Quest Saga World "
    "Heroes Chronicles Revenge Return Rising Kingdom Racing Arena Planet Galaxy Studio Games Works Brothers"
).split()
RENAMED_SLOTS = ("name", "near", "developer")


def invented_word(rng: Random) -> str:
    """A pronounceable word of one to three syllables, with a capital."""
    syllables = (rng.choice(ONSETS) + rng.choice(NUCLEI) + rng.choice(CODAS) for _ in range(rng.randint(1, 3)))
    return "".join(syllables).capitalize()


def invented_name(rng: Random) -> str:
    """A name of one to four words, like a café's or a game's."""
    def word() -> str:
        return rng.choice(WORDS) if rng.random() < 0.6 else invented_word(rng)

    shape = rng.randrange(8)
    if shape == 0:
        return word()
    if shape == 1:
        return f"{invented_word(rng)} {word()}"
    if shape <= 3:
        return f"The {word()}" + (f" {word()}" if shape == 3 else "")
    if shape == 4:
        return f"{word()}'s {word()}"
    if shape == 5:
        return f"{word()} {rng.randint(2, 2030)}"
    if shape == 6:
        return f"{word()}: {word()} of {word()}"
    return f"{word()} {word()}"


def rename(pair: Pair, rng: Random) -> Pair:
    """Replaces the names of a pair on both sides; a name that the sentence does not repeat letter by letter stays."""
    mr, text = pair.mr, pair.text
    for key, value in slots(pair.mr):
        whole = re.compile(rf"(?<!\w){re.escape(value)}(?!\w)")
        if key in RENAMED_SLOTS and value and whole.search(text):
            fresh = invented_name(rng)
            mr = mr.replace(f"{key}[{value}]", f"{key}[{fresh}]")
            text = whole.sub(fresh, text)
    return Pair(mr, text)
