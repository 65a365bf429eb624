"""Tags of words in a linear chain: which may follow which, and how likely spans are.

``k`` labels have ``2 k + 1`` tags: 0 outside of all spans, ``1 + 2 j`` at the beginning of one of
label ``j`` and ``2 + 2 j`` further inside of it (Ramshaw & Marcus 1995). The chain is the
conditional random field of Lafferty, McCallum & Pereira (2001).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

NEVER = -1e4
"""Score of what cannot be."""


def tags_of(k: int) -> int:
    """Tags of so many labels."""
    return 2 * k + 1


def begins_with(label: int) -> int:
    """Tag of the first word of a span."""
    return 1 + 2 * label


def allowed(k: int) -> NDArray[np.bool_]:
    """Which tag (column) may follow which (row), ``(2 k + 1, 2 k + 1)``; a text begins as after 0.

    A word is further inside of a span where the one before begins or goes on with the same.
    """
    tags = tags_of(k)
    found = np.ones((tags, tags), np.bool_)
    for label in range(k):
        first = begins_with(label)
        found[:, first + 1] = False
        found[[first, first + 1], first + 1] = True
    return found


class Chain:
    """The chain over the words of one text.

    Args:
        emissions: ``(words, tags)`` score of each tag of each word.
        follows: ``(tags, tags)`` score of one tag (column) after another (row); ``NEVER`` where it
            cannot be.
    """

    def __init__(self, emissions: Array, follows: Array) -> None:
        self._follows = np.exp(follows)
        count, tags = emissions.shape
        self._emitted = np.exp(emissions - emissions.max(axis=1, keepdims=True))
        forward, scale = np.empty((count, tags)), np.empty(count)
        before = (follows[0] > NEVER / 2).astype(np.float64)
        for at in range(count):
            forward[at] = before * self._emitted[at]
            scale[at] = max(float(forward[at].sum()), 1e-300)
            forward[at] /= scale[at]
            before = forward[at] @ self._follows
        backward = np.ones((count, tags))
        for at in range(count - 2, -1, -1):
            coming = self._emitted[at + 1] * backward[at + 1]
            backward[at] = self._follows @ coming / scale[at + 1]
        self._scale, self._backward = scale, backward
        self.marginals = forward * backward
        """``(words, tags)`` probability of each tag of each word."""

    def spans(self, least: float) -> Iterator[tuple[int, int, int, float]]:
        """Spans that are at least so likely: first word, the word after the last, label, and how.

        The probability of a span is exact: that it begins there, goes on, and goes on no more.

        Args:
            least: Smallest probability, > 0.
        """
        count = len(self.marginals)
        words, at_tags = np.nonzero(self.marginals[:, 1::2] >= least)
        for word, label in zip(words.tolist(), at_tags.tolist(), strict=True):
            first = begins_with(label)
            going, tag, end = float(self.marginals[word, first]), first, word + 1
            while True:
                on = 0.0
                if end < count and self._backward[end - 1, tag] > 0:
                    on = (
                        self._follows[tag, first + 1]
                        * self._emitted[end, first + 1]
                        * self._backward[end, first + 1]
                        / (self._scale[end] * self._backward[end - 1, tag])
                    )
                if going * (1.0 - on) >= least:
                    yield word, end, label, min(going * (1.0 - on), 1.0)
                going *= min(float(on), 1.0)
                if going < least:
                    break
                tag, end = first + 1, end + 1


def apart(
    spans: Iterator[tuple[int, int, int, float]],
) -> list[tuple[int, int, int, float]]:
    """Those of the spans that do not overlap a likelier one, likeliest first."""
    kept: list[tuple[int, int, int, float]] = []
    for each in sorted(spans, key=lambda span: (-span[3], span)):
        if all(each[1] <= other[0] or other[1] <= each[0] for other in kept):
            kept.append(each)
    return kept
