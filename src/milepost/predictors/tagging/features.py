"""What is seen of the words of a text: names of features, hashed, so that nothing else is kept.

Words in a window of two to either side, their beginnings, endings and shapes: what taggers have
read by hand since Ratnaparkhi (1996).
"""

import re
from collections.abc import Iterator, Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from milepost.models.words import words_of

VERSION = 1
"""Which features there are; bundles name it."""

_AFFIX = 4
_RUNS = ((re.compile("[A-Z]+"), "X"), (re.compile("[a-z]+"), "x"), (re.compile("[0-9]+"), "d"))
_OUTSIDE = "\u0000"


def seen(text: str) -> tuple[list[tuple[int, int]], list[NDArray[np.uint32]]]:
    """Words of a text, and the hashed features of each, ascending and each once."""
    spans = words_of(text)
    words = [text[begin:end] for begin, end in spans]
    glued = [at > 0 and spans[at - 1][1] == begin for at, (begin, _) in enumerate(spans)]
    lower = [_OUTSIDE, _OUTSIDE, *(word.lower() for word in words), _OUTSIDE, _OUTSIDE]
    shapes = [_OUTSIDE, _OUTSIDE, *map(shape_of, words), _OUTSIDE, _OUTSIDE]
    return spans, [
        np.unique(
            np.array(
                [crc32(name.encode()) for name in _names(at, word, lower, shapes, glued)], np.uint32
            )
        )
        for at, word in enumerate(words)
    ]


def shape_of(word: str) -> str:
    """Kinds of characters in a word, runs of the same one once: ``McDonald's2`` is ``XxXxd``."""
    for pattern, stands in _RUNS:
        word = pattern.sub(stands, word) if pattern.search(word) else word
    return word if word.isascii() else re.sub(r"\w+", lambda found: _other(found[0]), word)


def _other(run: str) -> str:
    return "X" if run[0].isupper() else "x"


def _names(
    at: int, word: str, lower: Sequence[str], shapes: Sequence[str], glued: Sequence[bool]
) -> Iterator[str]:
    here = at + 2  # both sequences begin two words before the text
    own = lower[here]
    yield "bias"
    yield f"word {word}"
    for step in (-2, -1, 0, 1, 2):
        yield f"lower {step} {lower[here + step]}"
        yield f"shape {step} {shapes[here + step]}"
    for step in (-1, 0):
        yield f"pair {step} {lower[here + step]} {lower[here + step + 1]}"
        yield f"shapes {step} {shapes[here + step]} {shapes[here + step + 1]}"
    yield f"around {shapes[here - 1]} {shapes[here]} {shapes[here + 1]}"
    for size in range(1, _AFFIX + 1):
        if len(own) > size:
            yield f"begins {own[:size]}"
            yield f"ends {own[-size:]}"
    for step in (-1, 1):
        near = lower[here + step]
        if len(near) > 3:
            yield f"ends {step} {near[-3:]}"
    yield f"length {min(len(word), 8)}"
    if glued[at]:
        yield "glued"
    if at + 1 < len(glued) and glued[at + 1]:
        yield "glues"
