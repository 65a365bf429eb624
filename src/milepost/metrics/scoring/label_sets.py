"""Measures for any number of labels per row: a label is answered where it is as likely as not.

Rows are what was drawn independently, not the labels on them. F1 is a ratio of sums over rows, and
the unweighted mean of the labels' F1 a sum of such ratios; both are linearised, and have the
bounds of a share on their effective sample size (Korn & Graubard 1998). A label that the task does
not know counts as one that was missed.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from milepost.entities.prediction import HOLDS
from milepost.metrics.scoring.links import loss_rows
from milepost.metrics.scoring.mean_measures import share_of
from milepost.metrics.scoring.measures import Measure, Reading, Sample, effective_share

_LARGEST = 16.2
"""Largest mean log loss of a row's labels; probabilities are cut at 1e-7."""


def exact_match() -> Measure:
    """Share of rows with exactly their labels; bounds of Clopper & Pearson (1934)."""

    def read(sample: Sample) -> Reading:
        actual, held = _both(sample)
        return share_of((actual == held).all(axis=1).astype(np.float64))

    return _share("exact_match", read)


def micro_f1() -> Measure:
    """F1 of all labels of all rows together (Yang 1999)."""

    def ratio(sample: Sample) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        actual, held = _both(sample)
        right = (actual & held).sum(axis=1).astype(np.float64)
        return right, (actual.sum(axis=1) + held.sum(axis=1)) / 2.0

    def read(sample: Sample) -> Reading:
        right, size = ratio(sample)
        means = _linear(right, size)
        return _reading(float(means.mean()), means, float(size.max(initial=1.0)))

    return replace(_share("micro_f1", read), ratio=ratio)


def macro_f1() -> Measure:
    """Unweighted mean of the labels' F1 over labels that some row has or was answered with."""

    def read(sample: Sample) -> Reading:
        actual, held = _both(sample)
        right, size = actual & held, (actual.astype(np.float64) + held) / 2.0
        seen = np.flatnonzero(size.sum(axis=0) > 0)
        if not len(seen):
            return _reading(1.0, np.ones(len(actual)), 1.0)
        each = [_linear(right[:, at].astype(np.float64), size[:, at]) for at in seen.tolist()]
        means = np.mean(each, axis=0)
        return _reading(float(means.mean()), means, 1.0)

    return _share("macro_f1", read)


def log_loss() -> Measure:
    """Mean negative log-probability of each label's truth (Good 1952), nats."""

    def read(sample: Sample) -> Reading:
        rows = loss_rows("sigmoid", sample.y, sample.probabilities)
        return Reading(float(rows.mean()), rows, None, 0.0, max(_LARGEST, float(rows.max())))

    return Measure("log_loss", higher=False, low=0.0, high=float("inf"), read=read)


def counts_of(
    sample: Sample,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Rows of each label, ``(k,)`` each: right, actual and answered."""
    k = sample.probabilities.shape[1]
    actual, held = (each[:, :k] for each in _both(sample))
    return (actual & held).sum(axis=0), actual.sum(axis=0), held.sum(axis=0)


def _share(name: str, read: Callable[[Sample], Reading]) -> Measure:
    return Measure(name, higher=True, low=0.0, high=1.0, read=read)


def _both(sample: Sample) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which labels hold and which are answered, ``(n, k + 1)``; the last is never answered."""
    held = np.zeros((len(sample.y), sample.probabilities.shape[1] + 1), np.bool_)
    held[:, :-1] = sample.probabilities >= HOLDS
    actual = np.zeros(held.shape, np.bool_)
    actual[:, : sample.y.shape[1]] = sample.y > 0
    return actual, held


def _linear(right: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each row says of the ratio of sums; 1 where there is nothing to be found or wrong."""
    total = float(size.sum())
    if not total:
        return np.ones(len(size))
    value = float(right.sum()) / total
    return value + (right - value * size) * (len(size) / total)


def _reading(value: float, means: NDArray[np.float64], reach: float) -> Reading:
    n = float(len(means))
    share = effective_share(value, means, n)
    low, high = float(means.min()), float(means.max())
    return Reading(value, means, None, min(low, value - reach), max(high, value + reach), share)
