"""Intervals of proportions, of metrics that behave like one, and of means.

Two-sided intervals leave half of ``1 - confidence`` on either side; one-sided bounds leave all of
it on one side. Every interval is meant to cover at least as often as it says.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from milepost.entities.estimate import Estimate
from milepost.metrics.inference.jackknife import leave_one_out
from milepost.metrics.scoring.classification import METRICS
from milepost.metrics.scoring.confusion import Cells

BOOTSTRAP_FROM = 100
"""Fewest rows from which a bootstrap interval is used."""

_LABEL_MEANS = frozenset({"balanced_accuracy", "macro_f1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How intervals are made.

    Attributes:
        confidence: Coverage aimed for, in (0, 1).
        resamples: Resamples of a bootstrap or of a randomisation test, at least 100.
        seed: Makes them repeatable.
        one_sided: Confidence of the one-sided bounds ``at_least`` and ``at_most``, in (0.5, 1);
            ``None`` takes ``confidence``. A look at a holdout that spends little of its error
            asks for more, such as 0.9999, while what is shown stays at ``confidence``.
    """

    confidence: float = 0.95
    resamples: int = 2000
    seed: int = 0
    one_sided: float | None = None

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: If a value is out of its range.
        """
        if not 0.0 < self.confidence < 1.0 or self.resamples < 100:
            raise ValueError("confidence must lie in (0, 1) and resamples be at least 100")
        if self.one_sided is not None and not 0.5 < self.one_sided < 1.0:
            raise ValueError("one_sided must lie in (0.5, 1)")

    @property
    def deciding(self) -> float:
        """Confidence of everything that a decision rests on."""
        return self.confidence if self.one_sided is None else self.one_sided


class Bounded(Protocol):
    """A measured value that knows its bounds at any confidence."""

    @property
    def value(self) -> float:
        """The value."""
        ...

    @property
    def n(self) -> int:
        """Rows behind it."""
        ...

    @property
    def method(self) -> str:
        """Name of the interval."""
        ...

    def bounds(self, tail: float) -> tuple[float, float]:
        """Lower and upper bound that each miss with probability at most ``tail``."""
        ...


def estimate_of(found: Bounded, confidence: float, one_sided: float | None = None) -> Estimate:
    """The record of a measured value.

    Args:
        found: The value and its bounds.
        confidence: Of the two-sided interval, in (0, 1).
        one_sided: Of the one-sided bounds; ``confidence`` when ``None``.
    """
    low, high = found.bounds((1.0 - confidence) / 2.0)
    at_least, at_most = found.bounds(1.0 - (confidence if one_sided is None else one_sided))
    return Estimate(
        value=found.value,
        low=min(low, found.value),
        high=max(high, found.value),
        n=found.n,
        method=found.method,
        at_least=min(at_least, found.value),
        at_most=max(at_most, found.value),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A metric with the number of independent successes and failures that it is worth.

    Attributes:
        value: The metric, at most 1.
        size: Effective sample size, > 0: the number of draws whose proportion would have the
            metric's variance.
        chance: Value of the metric that counts as no success at all; 0, and below 0 for ``mcc``.
        n: Rows it was measured on.
        method: Name of the interval.
        excess: By how much the value may be too high on average: the lower bound pays for it.
    """

    value: float
    size: float
    chance: float
    n: int
    method: str
    excess: float = 0.0

    def bounds(self, tail: float) -> tuple[float, float]:
        """Lower and upper bound that each miss with probability at most ``tail``.

        Clopper & Pearson (1934) on ``size`` draws, which need not be whole: Korn & Graubard
        (1998) for proportions from complex samples.
        """
        span = 1.0 - self.chance
        share = min(max((self.value - self.chance) / span, 0.0), 1.0)
        low, high = clopper_pearson(share * self.size, self.size, tail)
        below = max(self.chance, self.chance + span * low - self.excess)
        return below, self.chance + span * high

    def estimate(self, confidence: float, one_sided: float | None = None) -> Estimate:
        """The record with two-sided interval and one-sided bounds."""
        return estimate_of(self, confidence, one_sided)


def clopper_pearson(successes: float, n: float, tail: float) -> tuple[float, float]:
    """Exact bounds of a proportion (Clopper & Pearson 1934).

    Args:
        successes: Number of successes, 0 to ``n``; need not be whole.
        n: Number of trials, > 0.
        tail: Largest probability, in (0, 0.5], that either bound misses.

    Returns:
        Lower and upper bound in [0, 1].
    """
    from scipy.special import betaincinv

    failures = max(n - successes, 0.0)
    low = float(betaincinv(successes, failures + 1.0, tail)) if successes > 0 else 0.0
    high = float(betaincinv(successes + 1.0, failures, 1.0 - tail)) if failures > 0 else 1.0
    return low, high


def wilson(
    successes: NDArray[np.float64], n: NDArray[np.float64], confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Score interval of proportions (Wilson 1927), element by element; ``n`` > 0."""
    z = _normal_quantile(0.5 + confidence / 2.0)
    share = successes / n
    middle = (share + z * z / (2.0 * n)) / (1.0 + z * z / n)
    half = z * np.sqrt(share * (1.0 - share) / n + z * z / (4.0 * n * n)) / (1.0 + z * z / n)
    return np.clip(middle - half, 0.0, 1.0), np.clip(middle + half, 0.0, 1.0)


def proportion(successes: int, n: int, confidence: float) -> Estimate:
    """A proportion with exact bounds; ``n`` > 0."""
    value = successes / n
    return Measured(value=value, size=float(n), chance=0.0, n=n, method="clopper_pearson").estimate(
        confidence
    )


def measure(metric: str, cells: Cells, predictor: int = 0) -> Measured:
    """A metric and its effective sample size.

    The size is ``q (1 - q) / v`` with the jackknife variance ``v`` (Efron & Stein 1981), never
    more than the rows. Means over labels are worth at most ``k^2 / sum(1 / n_c)`` rows (Kish
    1965), so that a sample without a visible error does not claim more than its rarest labels
    allow. For ``accuracy`` the size is the number of rows and the interval is exact.

    Args:
        metric: A key of ``classification.METRICS``.
        cells: The sample.
        predictor: Which of the ``m`` predictors.

    Raises:
        KeyError: If there is no such metric.
    """
    counts = cells.totals(predictor)
    value = float(METRICS[metric](counts))
    n = cells.n
    if metric == "accuracy":
        return Measured(value=value, size=float(n), chance=0.0, n=n, method="clopper_pearson")
    seen = counts.actual[counts.actual > 0]
    by_label = len(seen) ** 2 / float((1.0 / seen).sum()) if len(seen) else float(n)
    chance = 0.0
    if metric == "mcc" and len(seen) > 1:
        # Answers that are never right come to about this, and some to less.
        chance = min(-1.0 / (len(seen) - 1.0), value)
    share = min(max((value - chance) / (1.0 - chance), 0.0), 1.0)
    variance = jackknife_variance(metric, cells, predictor) / (1.0 - chance) ** 2
    most = by_label if metric in _LABEL_MEANS or variance <= 0.0 else float(n)
    spread = share * (1.0 - share)
    size = min(spread / variance, most) if variance > 0.0 and spread > 0.0 else by_label
    return Measured(
        value=value, size=max(size, 1.0), chance=chance, n=n, method="clopper_pearson_effective"
    )


def jackknife_variance(metric: str, cells: Cells, predictor: int = 0) -> float:
    """Sampling variance of a metric by leaving one out; 0 for fewer than two rows.

    The factor ``((n - 1) / n)^2`` makes the variance of ``accuracy`` exactly ``p (1 - p) / n``.
    """
    n = cells.n
    if n < 2:
        return 0.0
    left_out = leave_one_out(metric, cells, predictor)
    mean = float((cells.counts * left_out).sum()) / n
    total = float((cells.counts * (left_out - mean) ** 2).sum()) * ((n - 1) / n) ** 2
    return total if total > 1e-18 else 0.0


def estimate(
    metric: str,
    y: NDArray[np.int64],
    answers: NDArray[np.int64],
    k: int,
    sampling: Sampling | None = None,
) -> Estimate:
    """A metric with its interval and one-sided bounds.

    Args:
        metric: A key of ``classification.METRICS``.
        y: ``(n,)`` actual labels in ``[-1, k)``; ``-1`` always counts as wrong.
        answers: ``(n,)`` answered labels in ``[-1, k)``; ``-1`` for none, which counts as wrong.
        k: Number of labels.
        sampling: Confidence; the defaults when ``None``.

    Raises:
        KeyError: If there is no such metric.
        ValueError: If shapes differ, nothing is given or a label is out of range.
    """
    sampling = sampling or Sampling()
    return measure(metric, Cells.of(y, answers, k)).estimate(
        sampling.confidence, sampling.one_sided
    )


def at_value(measured: Measured, value: float, method: str) -> Measured:
    """The same evidence around a corrected value."""
    return replace(measured, value=value, method=method)


def _normal_quantile(share: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(share))
