"""Measures of an order of candidates: is what is relevant to a query near the top?

Queries are what was drawn independently, not the candidates of one: each query says one number, and
the measure is their mean. Candidates with equal scores stand in no order; what is counted is the
expectation over all orders of them (McSherry & Najork 2008), so that a constant score is worth
what chance is. Queries without a relevant candidate say nothing and are left out.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.metrics.scoring.measures import Measure, Reading, Sample

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """Candidates of ``q`` queries, those of a query together and best first.

    Attributes:
        rows: ``(n,) int64`` row of each in the sample.
        query: ``(n,) int64`` query of each, in ``[0, q)``, ascending.
        place: ``(n,) int64`` place among those of its query, 0 first.
        block: ``(n,) int64`` equal for candidates of a query with equal scores, ascending.
        relevance: ``(n,)`` how relevant each is, in the order of ``rows``.
    """

    rows: NDArray[np.int64]
    query: NDArray[np.int64]
    place: NDArray[np.int64]
    block: NDArray[np.int64]
    relevance: Array

    @property
    def queries(self) -> int:
        """How many queries there are."""
        return int(self.query[-1]) + 1 if len(self.query) else 0

    def expected(self, worth: Array) -> Array:
        """What stands at each place on average, where equal scores stand in any order."""
        sizes = np.bincount(self.block)
        return (np.bincount(self.block, worth) / sizes)[self.block]

    def by_query(self, worth: Array) -> Array:
        """Sum over the candidates of each query, ``(q,)``."""
        return np.bincount(self.query, worth, minlength=self.queries).astype(np.float64)


def ranked(sample: Sample) -> Ranked:
    """The candidates of each query that has a relevant one, in order of their scores."""
    relevance, scores = sample.y[:, 0], sample.probabilities[:, 0].astype(np.float64)
    _, query = np.unique(sample.y[:, 1], return_inverse=True)
    query = query.reshape(-1)
    counted = (np.bincount(query, relevance > 0) > 0)[query]
    kept = np.flatnonzero(counted)
    order = kept[np.lexsort((-scores[kept], query[kept]))]
    _, query = np.unique(query[order], return_inverse=True)
    query, scores = query.reshape(-1).astype(np.int64), scores[order]
    starts = np.flatnonzero(np.diff(query, prepend=-1))
    place = np.arange(len(order)) - starts[query] if len(order) else order
    new = (np.diff(query, prepend=-1) != 0) | (np.diff(scores, prepend=np.nan) != 0)
    return Ranked(order, query, place, np.cumsum(new) - 1, relevance[order].astype(np.float64))


def ndcg(depth: int) -> Measure:
    """Normalised discounted cumulative gain (Järvelin & Kekäläinen 2002) of the first ``depth``.

    The gain of a candidate is 2 to the power of its relevance, less 1 (Burges et al. 2005).
    """

    def of(found: Ranked) -> Array:
        gains = np.exp2(found.relevance) - 1.0
        worth = (found.place < depth) / np.log2(found.place + 2.0)
        best = gains[np.lexsort((-gains, found.query))]
        return found.by_query(found.expected(gains) * worth) / found.by_query(best * worth)

    return _mean(f"ndcg@{depth}", of)


def recall(depth: int) -> Measure:
    """Share of what is relevant that is among the first ``depth``, a query at a time."""

    def of(found: Ranked) -> Array:
        relevant = (found.relevance > 0).astype(np.float64)
        there = found.expected(relevant) * (found.place < depth)
        return found.by_query(there) / found.by_query(relevant)

    return _mean(f"recall@{depth}", of)


def mrr() -> Measure:
    """Mean reciprocal rank of the first relevant candidate (Voorhees 1999)."""
    return _mean("mrr", first_reciprocal)


def first_reciprocal(found: Ranked) -> Array:
    """Reciprocal rank of the first relevant candidate of each query, ``(q,)``."""
    relevant = np.bincount(found.block, found.relevance > 0)
    sizes = np.bincount(found.block)
    starts = np.flatnonzero(np.diff(found.block, prepend=-1))
    first: dict[int, int] = {}
    for block in np.flatnonzero(relevant > 0).tolist():
        first.setdefault(int(found.query[starts[block]]), block)
    values = np.zeros(found.queries)
    for query, block in first.items():
        size, hits = int(sizes[block]), int(relevant[block])
        before = int(found.place[starts[block]])
        # The first of `hits` among `size` in random order is the j-th with this chance.
        chance = hits / size
        for j in range(size - hits + 1):
            values[query] += chance / (before + j + 1)
            if j < size - hits:
                chance *= (size - hits - j) / (size - 1 - j)
    return values


def _mean(name: str, of: Callable[[Ranked], Array]) -> Measure:
    def read(sample: Sample) -> Reading:
        found = ranked(sample)
        if not found.queries:
            return Reading(0.0, np.zeros(1), np.ones(1), 0.0, 1.0, n=0)
        values = of(found)
        value = float(values.mean())
        if sample.units is None:
            return Reading(value, values, np.ones(len(values)), 0.0, 1.0, n=len(values))
        firsts = np.flatnonzero(np.diff(found.query, prepend=-1))
        units = sample.units[found.rows[firsts]]
        sizes = np.bincount(units).astype(np.float64)
        sums, kept = np.bincount(units, values), sizes > 0
        means, sizes = sums[kept] / sizes[kept], sizes[kept]
        return Reading(value, means, sizes, 0.0, 1.0, n=len(values), unseen=float(sizes.mean()))

    return Measure(name, higher=True, low=0.0, high=1.0, read=read)
