"""Measures for scores: how far off, and in step with the truth?

Errors are means of rows. Correlations are functions of moments; what each row says of them is
their influence function (Hampel 1974), for ranks with what the row does to the ranks of all others.
A correlation behaves like a share of concordance, ``(1 + r) / 2``, and has the bounds of one on its
effective sample size. So does agreement.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from milepost.metrics.scoring.measures import Measure, Reading, Sample, effective_share

Array = NDArray[np.float64]


def mae() -> Measure:
    """Mean absolute error."""
    return _error("mae", lambda errors: errors, lambda mean: mean, lambda mean: 1.0)


def rmse() -> Measure:
    """Root mean squared error, to first order around the mean squared error."""
    return _error(
        "rmse",
        lambda errors: errors**2,
        lambda mean: float(np.sqrt(mean)),
        lambda mean: 0.5 / max(float(np.sqrt(mean)), 1e-12),
    )


def pearson() -> Measure:
    """Correlation (Pearson 1895), -1 to 1; 0 where one of the two is constant."""
    return _correlation("pearson", pearson_parts)


def spearman() -> Measure:
    """Rank correlation (Spearman 1904): Pearson's of the mid-ranks, -1 to 1."""
    return _correlation("spearman", spearman_parts)


def qwk() -> Measure:
    """Agreement with the truth, -1 to 1: in step, and at the same height.

    Lin's concordance correlation coefficient (1989). Where truths and answers are levels with
    equal steps it is Cohen's kappa with quadratic weights (Cohen 1968; Fleiss & Cohen 1973). 0
    where one of the two is constant.
    """
    return _correlation("qwk", qwk_parts)


def pearson_parts(x: Array, y: Array) -> tuple[float, Array]:
    """The correlation of ``(n,)`` and ``(n,)``, and what each row says of it."""
    first, second = _standard(x), _standard(y)
    if first is None or second is None:
        return 0.0, np.zeros(len(x))
    value = float((first * second).mean())
    return value, value + first * second - value / 2.0 * (first**2 + second**2)


def spearman_parts(x: Array, y: Array) -> tuple[float, Array]:
    """The rank correlation of ``(n,)`` and ``(n,)``, and what each row says of it."""
    (at, a), (there, b) = _ranked(x), _ranked(y)
    across, down = float((a**2).mean()), float((b**2).mean())
    if across <= 1e-15 or down <= 1e-15:
        return 0.0, np.zeros(len(x))
    root = np.sqrt(across * down)
    value = float((a * b).mean() / root)
    # A row moves the moments of the ranks directly, and the ranks of all rows beside it.
    direct = a * b + _moved(at, b) + _moved(there, a)
    first = a**2 + 2.0 * _moved(at, a)
    second = b**2 + 2.0 * _moved(there, b)
    parts = direct / root - value / 2.0 * (first / across + second / down)
    return value, value + parts - float(parts.mean())


def qwk_parts(x: Array, y: Array) -> tuple[float, Array]:
    """The agreement of ``(n,)`` and ``(n,)``, and what each row says of it."""
    across, down, shift = x - x.mean(), y - y.mean(), float(x.mean() - y.mean())
    # What a row says of the spread of both, and of how far their means lie apart.
    apart = across**2 + down**2 + 2.0 * shift * (across - down) + shift**2
    total = float(apart.mean())
    if total <= 1e-24:
        return 0.0, np.zeros(len(x))
    value = 2.0 * float((across * down).mean()) / total
    return value, value + (2.0 * across * down - value * apart) / total


def _standard(x: Array) -> Array | None:
    spread = float(x.std())
    return None if spread <= 1e-12 else (x - x.mean()) / spread


def _ranked(x: Array) -> tuple[NDArray[np.int64], Array]:
    """Place of each value among the different ones, and its mid-rank as a share less one half."""
    _, at, counts = np.unique(x, return_inverse=True, return_counts=True)
    at, share = at.reshape(-1), counts / len(x)
    return at, (np.cumsum(share) - share / 2.0 - 0.5)[at]


def _moved(at: NDArray[np.int64], other: Array) -> Array:
    """What a row at each place adds to the sum of ranks times ``other``: all above, half beside."""
    weights = np.bincount(at, other) / len(other)
    return (weights.sum() - np.cumsum(weights) + weights / 2.0)[at]


def _given(sample: Sample) -> tuple[Array, Array]:
    return np.asarray(sample.y, np.float64), sample.probabilities[:, 0].astype(np.float64)


def _error(
    name: str,
    of_row: Callable[[Array], Array],
    of_mean: Callable[[float], float],
    slope: Callable[[float], float],
) -> Measure:
    """A function of the mean of what each row is wrong by.

    What a row not seen could be wrong by is not known: as far as the answers and the truths that
    were seen lie apart at most.
    """

    def read(sample: Sample) -> Reading:
        actual, given = _given(sample)
        rows = of_row(np.abs(actual - given))
        mean = float(rows.mean())
        value, rate = of_mean(mean), slope(mean)
        together = np.concatenate([actual, given])
        furthest = float(of_row(np.ptp(together, keepdims=True))[0])
        means = value + (rows - mean) * rate
        return Reading(value, means, None, value - mean * rate, value + (furthest - mean) * rate)

    return Measure(name, higher=False, low=0.0, high=float("inf"), read=read)


def _correlation(name: str, parts: Callable[[Array, Array], tuple[float, Array]]) -> Measure:
    def read(sample: Sample) -> Reading:
        actual, given = _given(sample)
        value, means = parts(actual, given)
        n = float(len(actual))
        low, high = min(float(means.min()), value - 2.0), max(float(means.max()), value + 2.0)
        share = effective_share(value, means, n, chance=-1.0)
        return Reading(value, means, None, low, high, share)

    return Measure(name, higher=True, low=-1.0, high=1.0, read=read)
