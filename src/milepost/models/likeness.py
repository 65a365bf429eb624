"""How alike two strings are: as a whole, and field by field where they are records.

Knows nothing of meaning; numbers and names are told apart that mean nearly the same. What stands
for an image is a digest, whose letters say nothing.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from milepost.entities.images import is_image

Likeness = Callable[[str, str], float]

FIELDS = 8
"""Fields of records that are compared one by one, the first by name."""

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_WORD = re.compile(r"\w+")
_COLUMN = re.compile(r"(?:^|(?<=\s))COL\s+(\S+)\s+VAL(?=\s|$)")
_NEGATION = re.compile(r"\b(?:no|not|nobody|nothing|none|never|neither|nor|without|cannot)\b|n't\b")
_SEVERAL = 3
"""Numbers that each field says: letters, words, and whether it is missing on a side."""

MISSING = 0.5
"""Likeness to what is not there: neither alike nor different."""


def letters(a: str, b: str) -> float:
    """Share of letters that are the same in the same order, without regard to case."""
    from rapidfuzz.fuzz import ratio

    return ratio(a.lower(), b.lower()) / 100.0


def part(a: str, b: str) -> float:
    """As ``letters``, of the shorter text and the part of the longer one that is most like it."""
    from rapidfuzz.fuzz import partial_ratio

    return partial_ratio(a.lower(), b.lower()) / 100.0


def words(a: str, b: str) -> float:
    """Share of all words that both have (Jaccard 1912)."""
    return _shared(set(_WORD.findall(a.lower())), set(_WORD.findall(b.lower())))


def held(a: str, b: str) -> float:
    """Share of the words of the shorter text that the other has."""
    one, other = set(_WORD.findall(a.lower())), set(_WORD.findall(b.lower()))
    least = min(len(one), len(other))
    return len(one & other) / least if least else 0.0


def numbers(a: str, b: str) -> float:
    """Share of all numbers that both have; one half where there is none."""
    one, other = set(_NUMBER.findall(a)), set(_NUMBER.findall(b))
    return _shared(one, other) if one or other else 0.5


def length(a: str, b: str) -> float:
    """Length of the shorter text as a share of the longer one's."""
    longest = max(len(a), len(b))
    return min(len(a), len(b)) / longest if longest else 1.0


def codes(a: str, b: str) -> float:
    """Share of all words with a digit that both have, such as model numbers; one half of none."""
    one, other = (
        {word for word in _WORD.findall(each.lower()) if any(map(str.isdigit, word))}
        for each in (a, b)
    )
    return _shared(one, other) if one or other else 0.5


def triples(a: str, b: str) -> float:
    """Share of all runs of three letters that both have."""
    one, other = (
        {low[at : at + 3] for low in (f"  {' '.join(each.lower().split())} ",)
         for at in range(len(low) - 2)}
        for each in (a, b)
    )  # fmt: skip
    return _shared(one, other)


def negated(a: str, b: str) -> float:
    """Whether just one of the texts says no, in English."""
    one, other = (_NEGATION.search(each.lower()) is not None for each in (a, b))
    return float(one != other)


FIRST: tuple[Likeness, ...] = (letters, part, words, held, numbers, length)
"""What version 1 of the vectors of pairs says of the whole strings."""

SECOND: tuple[Likeness, ...] = (*FIRST, codes, triples, negated)
"""What version 2 says of them."""


@lru_cache(maxsize=4096)
def record(text: str) -> Mapping[str, str] | None:
    """Fields of a record by name: ``COL name VAL value …``, or a JSON object; else ``None``."""
    marks = list(_COLUMN.finditer(text))
    if marks and marks[0].start() == 0:
        ends = [*(mark.start() for mark in marks[1:]), len(text)]
        return {
            mark[1]: text[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=True)
        }
    if not text.startswith("{"):
        return None
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    return {name: "" if value is None else str(value)
            for name, value in cast("dict[str, Any]", found).items()}  # fmt: skip


def by_field(a: str, b: str) -> list[float]:
    """What the fields of two records say: of each of the first, then of all together.

    A field that is missing or empty on a side is neither alike nor different. Of texts that are no
    records it says nothing, which are zeros.
    """
    one, other = record(a), record(b)
    found = [0.0] * width()
    if one is None or other is None:
        return found
    alike: list[tuple[float, float]] = []
    absent = 0
    names = sorted({*one, *other})  # whichever side is the first
    for at, name in enumerate(names):
        x, y = one.get(name, ""), other.get(name, "")
        missing = not x or not y
        absent += missing
        said = (MISSING, MISSING) if missing else (_close(x, y), words(x, y))
        if not missing:
            alike.append(said)
        if at < FIELDS:
            found[at * _SEVERAL : (at + 1) * _SEVERAL] = [*said, float(missing)]
    both = np.array(alike or [(MISSING, MISSING)])
    found[FIELDS * _SEVERAL :] = [
        *both.mean(axis=0).tolist(),
        *both.min(axis=0).tolist(),
        absent / len(names) if names else 0.0,
    ]
    return found


def width() -> int:
    """How many numbers ``by_field`` gives."""
    return FIELDS * _SEVERAL + 5


def likenesses(pairs: Sequence[tuple[str, str]], version: int) -> NDArray[np.float32]:
    """How alike the sides of pairs are, ``(n, m) float32``, each from 0 to 1.

    Of a pair with an image nothing is said, which are zeros.
    """
    found = np.zeros((len(pairs), count(version)), np.float32)
    for row, (a, b) in enumerate(pairs):
        if not (is_image(a) or is_image(b)):
            found[row] = _of_pair(a, b, version)
    return found


def _of_pair(a: str, b: str, version: int) -> list[float]:
    if version == 1:
        return [like(a, b) for like in FIRST]
    x, y = _bare(a), _bare(b)
    return [*(like(x, y) for like in SECOND), *by_field(a, b)]


def count(version: int) -> int:
    """How many numbers ``likenesses`` gives for a pair."""
    return len(FIRST) if version == 1 else len(SECOND) + width()


def _bare(text: str) -> str:
    """What a record says without the names of its fields; other text as it is."""
    found = record(text)
    return text if found is None else " ".join(filter(None, found.values()))


def _close(x: str, y: str) -> float:
    """Likeness of two values: by size where both are numbers, else by letters."""
    try:
        one, other = float(x.strip("$ ").replace(",", "")), float(y.strip("$ ").replace(",", ""))
    except ValueError:
        return letters(x, y)
    largest = max(abs(one), abs(other))
    if not np.isfinite(largest) or not largest:
        return float(one == other)
    return float(max(0.0, 1.0 - abs(one - other) / largest))


def _shared(one: set[str], other: set[str]) -> float:
    either = len(one | other)
    return len(one & other) / either if either else 1.0
