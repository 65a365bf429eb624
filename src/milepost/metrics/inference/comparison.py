"""Two sets of answers to the same rows, and one metric on two separate sets of rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.metrics.inference.intervals import Bounded, Sampling, measure
from milepost.metrics.inference.jackknife import leave_one_out
from milepost.metrics.scoring.classification import METRICS
from milepost.metrics.scoring.confusion import Cells, Counts
from milepost.metrics.scoring.deciding import is_right

_STEPS = 24
"""Bisections on the log scale: a p-value to six digits."""
_PER_TAIL = 20
_MOST_SWAPS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """A paired test. ``p_better`` is the one-sided p-value of "the first is not better"."""

    __test__ = False

    p_better: float
    p_worse: float
    method: str


def mcnemar(y: NDArray[np.int64], answers: NDArray[np.int64], other: NDArray[np.int64]) -> Test:
    """Exact one-sided sign tests on the rows where only one is right (McNemar 1947).

    Args:
        y: ``(n,)`` actual labels; ``-1`` is never right.
        answers: ``(n,)`` answers of the first; ``-1`` for none, which is never right.
        other: ``(n,)`` answers of the second.
    """
    from scipy.special import bdtr, bdtrc

    first, second = is_right(answers, y), is_right(other, y)
    won = int((first & ~second).sum())
    lost = int((second & ~first).sum())
    total = won + lost
    return Test(
        p_better=float(bdtrc(won - 1, total, 0.5)) if won else 1.0,
        p_worse=float(bdtr(won, total, 0.5)) if lost else 1.0,
        method="exact McNemar",
    )


def swaps_wanted(sampling: Sampling) -> int:
    """How many random swaps a test needs.

    A p-value cannot be smaller than one in their number: a strict look needs more.
    """
    wanted = int(_PER_TAIL / (1.0 - sampling.deciding))
    return max(sampling.resamples, min(wanted, _MOST_SWAPS))


def randomisation(metric: str, cells: Cells, sampling: Sampling) -> Test:
    """Paired randomisation test for any metric (Noreen 1989; Yeh 2000).

    If the two are exchangeable, swapping their answers to any row changes nothing; the p-value is
    the share of random swaps, the actual one included, that favour the first at least as much.

    Args:
        metric: A key of ``classification.METRICS``.
        cells: Cells of two predictors.
        sampling: Resamples and seed.
    """
    function = METRICS[metric]
    found = float(function(cells.totals(0))) - float(function(cells.totals(1)))
    differ = np.flatnonzero(cells.answers[0] != cells.answers[1])
    rng = np.random.default_rng(sampling.seed)
    counts = cells.counts.astype(np.float64)
    step = max(1, 2_000_000 // max(len(counts), cells.k))
    above = below = 0
    resamples = swaps_wanted(sampling)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        swapped = np.zeros((size, len(counts)))
        swapped[:, differ] = rng.binomial(
            cells.counts[differ], 0.5, size=(size, len(differ))
        ).astype(np.float64)
        kept = counts - swapped
        first = _added(cells.sums(kept, 0), cells.sums(swapped, 1))
        second = _added(cells.sums(kept, 1), cells.sums(swapped, 0))
        drawn = function(first) - function(second)
        above += int((drawn >= found - 1e-12).sum())
        below += int((drawn <= found + 1e-12).sum())
    total = resamples + 1
    return Test(
        p_better=(above + 1) / total, p_worse=(below + 1) / total, method="paired randomisation"
    )


def paired_difference(metric: str, cells: Cells, confidence: float) -> tuple[float, float, float]:
    """Difference of a metric between two predictors on the same rows, and its interval.

    A Wald interval from the jackknife of the difference (Efron & Stein 1981), widened so that it
    does not collapse where the two never differ: at zero disagreement its half width is
    ``z^2 / (size + z^2)``, that of the score interval for paired proportions (Tango 1998).

    Args:
        metric: A key of ``classification.METRICS``.
        cells: Cells of two predictors.
        confidence: Two-sided coverage, in (0, 1).

    Returns:
        Difference (first minus second), lower end, upper end.
    """
    from scipy.special import ndtri

    function = METRICS[metric]
    difference = float(function(cells.totals(0))) - float(function(cells.totals(1)))
    n = cells.n
    variance = 0.0
    if n > 1:
        apart = leave_one_out(metric, cells, 0) - leave_one_out(metric, cells, 1)
        mean = float((cells.counts * apart).sum()) / n
        variance = float((cells.counts * (apart - mean) ** 2).sum()) * (n - 1) / n
    z = float(ndtri(0.5 + confidence / 2.0))
    measured = measure(metric, cells, 0)
    size = min(measured.size, measure(metric, cells, 1).size)
    floor = (1.0 - measured.chance) * z / (size + z * z)
    half = z * float(np.sqrt(variance + floor**2))
    return difference, difference - half, difference + half


def independent_difference(first: Bounded, second: Bounded, tail: float) -> tuple[float, float]:
    """Bounds of first minus second on separate rows, each missing with about ``tail``.

    The method of variance estimates recovery (MOVER; Zou & Donner 2008) on exact bounds.
    """
    first_low, first_high = first.bounds(tail)
    second_low, second_high = second.bounds(tail)
    difference = first.value - second.value
    down = np.hypot(first.value - first_low, second_high - second.value)
    up = np.hypot(first_high - first.value, second.value - second_low)
    return difference - float(down), difference + float(up)


def independent_p_value(first: Bounded, second: Bounded) -> float:
    """One-sided p-value of "first is not larger than second", by inverting the bounds above."""
    low, high = 1e-12, 0.5
    if first.value <= second.value:
        return 1.0
    for _ in range(_STEPS):
        middle = float(np.sqrt(low * high))
        if independent_difference(first, second, middle)[0] > 0.0:
            high = middle
        else:
            low = middle
    return high


def _added(left: Counts, right: Counts) -> Counts:
    return Counts(
        left.right + right.right,
        left.answered + right.answered,
        left.actual + right.actual,
        left.n + right.n,
    )
