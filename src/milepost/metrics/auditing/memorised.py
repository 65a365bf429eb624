"""Strings of the training texts that generated text repeats word for word.

After the definition of Carlini et al. (2021), "Extracting training data from large language
models", and Carlini et al. (2023), "Quantifying memorization across neural language models": what
was memorised is a long verbatim string that few training texts share. Windows are found by their
hashes (Karp & Rabin 1987) and verified letter by letter.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.entities.estimate import Estimate
from milepost.metrics.inference.intervals import Measured

SHORTEST = 50
"""Letters and digits from which a repeated string counts: some ten English words."""

MOST_TEXTS = 2
"""Training texts that may share a string; what more of them share is a common phrase."""

_BASE = np.uint64(1_099_511_628_211)


@dataclass(frozen=True, slots=True)
class Repeated:
    """A string of an output that stands in a training text.

    Attributes:
        output: Which output, from 0.
        start: First character in the output.
        end: One after the last.
        text: The string as the output has it.
        source: Which training text, from 0.
        length: Letters and digits of it.
    """

    output: int
    start: int
    end: int
    text: str
    source: int
    length: int


def memorised_strings(
    outputs: Sequence[str],
    training: Sequence[str],
    prompts: Sequence[str] | None = None,
    shortest: int = SHORTEST,
    most_texts: int = MOST_TEXTS,
) -> tuple[Repeated, ...]:
    """The longest repeated strings of each output, in the order of the outputs.

    Letters and digits are compared, whatever their case and what stands between them. A string
    counts where at least one of its windows of ``shortest`` characters occurs in at most
    ``most_texts`` training texts, and does not occur in the output's own prompt: to quote what was
    just said is not to remember it.

    Args:
        outputs: Generated texts.
        training: What the generator was trained on.
        prompts: What it was given for each output; ``None`` where nothing was.
        shortest: Fewest letters and digits of a string, at least 8.
        most_texts: Most training texts that share it, at least 1.

    Raises:
        ValueError: If a bound is too small, or there is not a prompt for each output.
    """
    if shortest < 8 or most_texts < 1:
        raise ValueError("a string has at least 8 letters, and at least 1 text may share it")
    if prompts is not None and len(prompts) != len(outputs):
        raise ValueError(f"{len(prompts)} prompts for {len(outputs)} outputs")
    known = _Windows.of(training, shortest)
    found: list[Repeated] = []
    for i, output in enumerate(outputs):
        own = _Letters.of([output])
        said = _Letters.of([prompts[i]] if prompts is not None else [])
        fresh = ~np.isin(own.hashes(shortest), said.hashes(shortest))
        for start, end, source in _spans(own, known, fresh, most_texts):
            first, last = int(own.places[start]), int(own.places[end - 1]) + 1
            found.append(Repeated(i, first, last, output[first:last], source, end - start))
    return tuple(found)


def memorised_share(found: Sequence[Repeated], outputs: int, confidence: float) -> Estimate:
    """Share of the outputs that repeat a string, with exact bounds (Clopper & Pearson 1934).

    Args:
        found: What ``memorised_strings`` gave.
        outputs: Number of outputs, at least 1, drawn independently of each other.
        confidence: Two-sided coverage.
    """
    share = len({each.output for each in found}) / outputs
    return Measured(
        value=share, size=float(outputs), chance=0.0, n=outputs, method="clopper_pearson"
    ).estimate(confidence)


@dataclass(frozen=True, slots=True, eq=False)
class _Letters:
    """Letters and digits of texts, one text after the other.

    Attributes:
        codes: ``(m,) uint64`` code points, lower case.
        texts: ``(m,) int64`` the text of each.
        places: ``(m,) int64`` its place in that text.
    """

    codes: NDArray[np.uint64]
    texts: NDArray[np.int64]
    places: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Sequence[str]) -> "_Letters":
        places = [[i for i, c in enumerate(text) if c.isalnum()] for text in texts]
        codes = [
            ord(text[i].lower()[0]) for text, at in zip(texts, places, strict=True) for i in at
        ]
        sizes = [len(at) for at in places]
        return cls(
            np.asarray(codes, np.uint64),
            np.repeat(np.arange(len(texts)), sizes).astype(np.int64),
            np.asarray([i for at in places for i in at], np.int64),
        )

    def hashes(self, size: int) -> NDArray[np.uint64]:
        """Of each window within a text, by its first letter; windows across texts are left out."""
        return self._all_hashes(size)[self.starts(size)]

    def starts(self, size: int) -> NDArray[np.int64]:
        """First letters of the windows within a text."""
        if len(self.codes) < size:
            return np.zeros(0, np.int64)
        return np.flatnonzero(self.texts[: len(self.texts) - size + 1] == self.texts[size - 1 :])

    def _all_hashes(self, size: int) -> NDArray[np.uint64]:
        count = max(len(self.codes) - size + 1, 0)
        hashes = np.zeros(count, np.uint64)
        for i in range(size):
            hashes = hashes * _BASE + self.codes[i : i + count]
        return hashes


@dataclass(frozen=True, slots=True, eq=False)
class _Windows:
    """Windows of the training texts in the order of their hashes.

    Attributes:
        letters: The texts.
        size: Letters of a window.
        hashes: ``(w,) uint64`` ascending.
        starts: ``(w,) int64`` first letter of each.
    """

    letters: _Letters
    size: int
    hashes: NDArray[np.uint64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Sequence[str], size: int) -> "_Windows":
        letters = _Letters.of(texts)
        hashes, starts = letters.hashes(size), letters.starts(size)
        order = np.argsort(hashes, kind="stable")
        return cls(letters, size, hashes[order], starts[order])

    def rare(self, own: _Letters, start: int, hashed: np.uint64, most: int) -> list[int]:
        """Where a window stands in the training texts; empty where too many of them have it."""
        low = int(np.searchsorted(self.hashes, hashed))
        at = self.starts[low : int(np.searchsorted(self.hashes, hashed, side="right"))]
        wanted = own.codes[start : start + self.size]
        same = [s for s in at.tolist() if (self.letters.codes[s : s + self.size] == wanted).all()]
        return same if len(set(self.letters.texts[same].tolist())) <= most else []


def _spans(
    own: _Letters, known: _Windows, fresh: NDArray[np.bool_], most: int
) -> Iterator[tuple[int, int, int]]:
    """First letter, one after the last, and training text of each repeated string."""
    hashes = own.hashes(known.size)
    hit = np.flatnonzero(fresh & np.isin(hashes, known.hashes))
    done = 0
    for start in hit.tolist():  # one text alone: a window's number is its first letter
        if start < done:
            continue
        where = known.rare(own, start, hashes[start], most)
        grown = [(*_grown(own, known.letters, start, at, known.size), at) for at in where]
        if grown:
            first, last, at = max(grown, key=lambda each: (each[1] - each[0], -each[2]))
            done = last
            yield first, last, int(known.letters.texts[at])


def _grown(own: _Letters, known: _Letters, start: int, at: int, size: int) -> tuple[int, int]:
    """The match of a window made as long as it goes on both sides."""
    before = min(start, at - int(np.searchsorted(known.texts, known.texts[at])))
    end = int(np.searchsorted(known.texts, known.texts[at], side="right"))
    after = min(len(own.codes) - start, end - at)
    behind = own.codes[start - before : start][::-1] == known.codes[at - before : at][::-1]
    ahead = own.codes[start : start + after] == known.codes[at : at + after]
    left = before if behind.all() else int(behind.argmin())
    right = after if ahead.all() else int(ahead.argmin())
    return start - left, start + max(right, size)
