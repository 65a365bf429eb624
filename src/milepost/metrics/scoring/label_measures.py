"""Precision, recall and F1 of one label, with exact bounds.

Precision is a share of the rows answered with the label, recall of the rows that have it. F1 is
``2 j / (1 + j)`` of the share ``j`` (Jaccard 1912) of rows right among those that have the label
or were answered with it. Given how many rows there are of either kind, each of the three counts a
binomial number of successes, so that the bounds of Clopper & Pearson (1934) are exact.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from milepost.entities.estimate import UNDEFINED
from milepost.metrics.inference.intervals import Measured, clopper_pearson
from milepost.metrics.scoring.measures import Measure, Reading, Sample

_NOTHING = 1e-9
"""Size of no rows at all: the bounds are as wide as can be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded(Measured):
    """F1 with the bounds of the share of right rows that it is a function of."""

    def bounds(self, tail: float) -> tuple[float, float]:
        """Lower and upper bound that each miss with probability at most ``tail``."""
        share = self.value / (2.0 - self.value)
        low, high = clopper_pearson(share * self.size, self.size, tail)
        return 2.0 * low / (1.0 + low), 2.0 * high / (1.0 + high)


def precision(label: int, name: str) -> Measure:
    """Share of the answers with a label that are right; 0 where it was never answered."""
    return _of_label(name, lambda sample: _read(sample, label, 0.0, 1.0))


def recall(label: int, name: str) -> Measure:
    """Share of a label's rows that are answered with it; 0 where there is no such row."""
    return _of_label(name, lambda sample: _read(sample, label, 1.0, 0.0))


def f1(label: int, name: str) -> Measure:
    """Harmonic mean of a label's precision and recall (van Rijsbergen 1979)."""
    return _of_label(name, lambda sample: _read(sample, label, 1.0, 1.0))


def f1_share(right: float, either: float, n: int) -> Folded:
    """F1 from its counts.

    Args:
        right: Rows that have the label and were answered with it.
        either: Rows of which one is true.
        n: Rows looked at.
    """
    value = 2.0 * right / (right + either) if either else 0.0
    return Folded(value=value, size=max(either, 1.0), chance=0.0, n=n, method="clopper_pearson")


def _of_label(name: str, read: Callable[[Sample], Reading]) -> Measure:
    return Measure(name, higher=True, low=0.0, high=1.0, read=read)


def _read(sample: Sample, label: int, of_actual: float, of_answered: float) -> Reading:
    """A ratio of right rows to a weighted sum of actual and answered ones, linearised."""
    actual = (sample.y == label).astype(np.float64)
    answered = (sample.answers == label).astype(np.float64)
    both = actual * answered
    weight = of_actual + of_answered
    size = (of_actual * actual + of_answered * answered) / weight
    total, n = float(size.sum()), len(sample.y)
    value = float(both.sum()) / total if total else 0.0
    means = value + (both - value * size) * (n / total) if total else np.zeros(n)
    if weight == 2.0:
        share: Measured = f1_share(float(both.sum()), float(np.maximum(actual, answered).sum()), n)
    else:
        share = Measured(
            value=value, size=max(total, 1.0), chance=0.0, n=n, method="clopper_pearson"
        )
    if not total:
        share = replace(share, size=_NOTHING, method=UNDEFINED)
    reach = n / total if total else 1.0
    worst, best = value - value * reach, value + (1.0 - value) * reach
    return Reading(value, means, None, worst, best, share)
