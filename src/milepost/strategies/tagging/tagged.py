"""Texts with their spans as what a chain is trained on: features, states and tags word by word."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milepost.entities.spans import OF_TRUTH, unpacked
from milepost.predictors.tagging.chain import begins_with, tags_of
from milepost.predictors.tagging.features import seen
from milepost.strategies.tagging.crf import Observed, Order
from milepost.strategy import Problem

MOST_WEIGHTS = 1_500_000
"""Most weights of features (features times tags): the ones of the most words are kept."""

_MANY_WORDS = 20_000
"""Words from which a feature of a single one is left out: there are too many such."""


@dataclass(frozen=True, slots=True, eq=False)
class Tagged:
    """Words of all texts that have any.

    Attributes:
        hashes: ``(r,) uint32`` features that weigh, ascending.
        rows: Which of the problem's texts have words.
        order: Where each text's words are.
        sparse: ``(N, r)`` which features each word has, in that order.
        tags: ``(N,) int64``, in that order.
        count: Number of tags.
    """

    hashes: NDArray[np.uint32]
    rows: list[int]
    order: Order
    sparse: Any
    tags: NDArray[np.int64]
    count: int

    def observed(self, dense: NDArray[np.float32] | None = None) -> Observed:
        """What a chain is trained on; ``dense`` are ``(N, d)`` states, text after text."""
        own = None if dense is None else dense[self.order.rows]
        return Observed(self.sparse, own, self.tags, self.order, self.count)


def tagged(problem: Problem) -> Tagged:
    """The words of a problem's texts with their features and tags."""
    import scipy.sparse

    k = len(problem.labels)
    spans = unpacked(problem.y, OF_TRUTH)
    features: list[NDArray[np.uint32]] = []
    tags: list[NDArray[np.int64]] = []
    rows: list[int] = []
    for row, text in enumerate(problem.texts):
        words, own = seen(text)
        if words:
            rows.append(row)
            features += own
            tags.append(tags_in(words, spans[row], k))
    order = Order.of([len(each) for each in tags])
    every = np.concatenate(features)
    hashes = _kept(every, len(features), tags_of(k))
    at = np.minimum(np.searchsorted(hashes, every), len(hashes) - 1)
    known = hashes[at] == every
    owner = np.repeat(np.arange(len(features)), [len(each) for each in features])
    ones = np.ones(int(known.sum()), np.float32)
    sparse = scipy.sparse.csr_array(
        (ones, (owner[known], at[known])), shape=(len(features), len(hashes))
    )
    together = np.concatenate(tags)[order.rows]
    return Tagged(hashes, rows, order, sparse[order.rows], together, tags_of(k))


def tags_in(
    words: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int, int]], k: int
) -> NDArray[np.int64]:
    """Tags ``(words,)`` of words: those that a span touches are its own.

    Spans of labels that the problem does not have are outside.
    """
    begins, ends = np.array(words, np.int64).reshape(-1, 2).T
    tags = np.zeros(len(words), np.int64)
    for begin, end, label in spans:
        inside = np.flatnonzero((ends > begin) & (begins < end) & (tags == 0))
        if len(inside) and label < k:
            tags[inside] = begins_with(label) + 1
            tags[inside[0]] = begins_with(label)
    return tags


def _kept(every: NDArray[np.uint32], words: int, tags: int) -> NDArray[np.uint32]:
    """Features that get a weight, ascending."""
    found, counts = np.unique(every, return_counts=True)
    least = 2 if words > _MANY_WORDS else 1
    most = max(1, MOST_WEIGHTS // tags)
    frequent = np.argsort(-counts, kind="stable")[:most]
    return np.sort(found[frequent[counts[frequent] >= least]])
