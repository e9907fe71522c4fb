"""The protocol of protocol.h, for drivers in Python."""

import json
import os
import sys
from dataclasses import dataclass


@dataclass
class Case:
    """What is measured; see protocol.h."""

    kind: str = ""
    streams: int = 1
    context: int = 0
    adapters: int = 0
    tokens: int = 0


class Unsupported(Exception):
    """Raised by setup for what the program cannot do."""


class SteppedDriver:
    """For programs that compute in steps. One has _prepare(case), _add(outputs), which begins the case's streams with
    prompts of their own, _begun(), whether each of them has a token, _step(), and _decode(count) and _prefill(), which
    return (tokens, seconds)."""

    ROOM = 512  # tokens that a stream may decode over all measurements of a case

    def __init__(self):
        self._case = Case()

    def setup(self, case: Case) -> str:
        if case.kind == "serve":
            raise Unsupported("only polygraft's own path is measured in this way")
        self._prepare(case)
        self._case = case
        if case.kind == "decode":
            self._add(self.ROOM)
            # Prompts are computed over several steps.
            while not self._begun():
                self._step()
            self._decode(2)
        else:
            self._prefill()
        return ""

    def measure(self) -> tuple[int, float]:
        return self._decode(self._case.tokens) if self._case.kind == "decode" else self._prefill()


class Tokens:
    """Token ids that look random, the same in every run."""

    def __init__(self, vocabulary: int):
        self._vocabulary = vocabulary
        self._state = 1

    def take(self, count: int) -> list[int]:
        ids = []
        for _ in range(count):
            self._state = (self._state * 1664525 + 1013904223) & 0xFFFFFFFF
            ids.append(self._state * self._vocabulary >> 32)
        return ids


def parse_case(words: list[str]) -> Case:
    values = dict(word.split("=", 1) for word in words)
    return Case(**{key: value if key == "kind" else int(value) for key, value in values.items()})


def serve(start) -> int:
    """Answers commands until the input ends. `start()` returns (name, device, driver); a driver has setup(case) -> note,
    measure() -> (tokens, seconds) and end()."""
    # Libraries print to standard output, from C++ as well: it becomes standard error, and answers get a copy of it.
    out = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)

    def say(**answer) -> None:
        print(json.dumps(answer), file=out)

    try:
        name, device, driver = start()
    except Exception as error:
        say(error=str(error))
        return 1
    say(driver=name, device=device)
    for line in sys.stdin:
        command, *words = line.split()
        try:
            if command == "setup":
                say(ready=True, note=driver.setup(parse_case(words)))
            elif command == "measure":
                tokens, seconds = driver.measure()
                say(tokens=tokens, seconds=seconds)
            elif command == "end":
                driver.end()
                say(ended=True)
            else:
                say(error=f"unknown command: {command}")
        except Unsupported as error:
            say(unsupported=str(error))
        except Exception as error:
            say(error=f"{type(error).__name__}: {error}")
    return 0
