"""Exact answers kept in memory: per text its vector, and what each stack said of it."""

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from milepost.serving.engine.work import Outcome, Stack, TrunkKey, Vectors

LONGEST = 8192
"""Longest text that is kept, in characters: a longer one hardly comes twice."""

STACKS = 16
"""Most stacks whose answers to one text are kept."""

_ENTRY = 600
"""Bytes of an entry besides its arrays and its text, about."""

_ANSWER = 1100
"""Bytes of an answer besides its arrays, about, with what a service notes on it."""


class _Entry:
    __slots__ = ("answers", "size", "tokens", "vectors")

    def __init__(self, tokens: int) -> None:
        self.vectors: dict[str | None, NDArray[np.float32]] = {}
        self.tokens = tokens
        self.size = 0
        self.answers: dict[str, Outcome] = {}


class Cache:
    """Least recently used texts go first. All calls hold the engine's lock.

    Answers are kept by what decides them: trunk, text and the digests of the bundles. A release
    that changes is another key, and a vector serves the new one as it served the old.

    Args:
        most: Bytes that it may hold, about; 0 keeps nothing.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.size = 0
        self._entries: OrderedDict[tuple[TrunkKey | None, str], _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def answer(self, text: str, stack: Stack) -> Outcome | None:
        """What this stack said of a text, marked as cached."""
        key = (stack.trunk, text)
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry.answers.get(stack.key)

    def vectors(self, text: str, trunk: TrunkKey | None) -> tuple[Vectors, int]:
        """The vectors of a text by space, and its tokens."""
        entry = self._entries.get((trunk, text))
        return ({}, 0) if entry is None else (entry.vectors, entry.tokens)

    def keep(self, text: str, stack: Stack, outcome: Outcome) -> None:
        """Keep an answer and its vector, unless something in it failed."""
        size = len(text)
        if not self.most or size > LONGEST or outcome.error or outcome.failures:
            return
        key = (stack.trunk, text)
        tokens = outcome.tokens + outcome.spared
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(tokens)
            # Four bytes a character is the most that Python takes.
            self._grow(entry, _ENTRY + (size if text.isascii() else 4 * size))
        for name, vector in outcome.vectors.items():
            # States of words take as much as the vectors of twenty texts; their answer is kept.
            if name not in entry.vectors and vector.ndim == 1:
                entry.vectors[name] = vector
                self._grow(entry, vector.nbytes)
        if stack.key in entry.answers:
            return
        if len(entry.answers) >= STACKS:
            self._shrink(entry)
        kept = Outcome(outcome.probabilities, outcome.vectors, spared=tokens, cached=True)
        entry.answers[stack.key] = kept
        self._grow(entry, _bytes(kept))
        while self.size > self.most:
            _, oldest = self._entries.popitem(last=False)
            self.size -= oldest.size

    def _shrink(self, entry: _Entry) -> None:
        oldest = next(iter(entry.answers))
        self._grow(entry, -_bytes(entry.answers.pop(oldest)))

    def _grow(self, entry: _Entry, size: int) -> None:
        entry.size += size
        self.size += size


def _bytes(outcome: Outcome) -> int:
    arrays = sum(128 + each.nbytes for each in outcome.probabilities if each is not None)
    return _ANSWER + arrays
