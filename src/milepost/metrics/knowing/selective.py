"""Answering only when sure: the risk-coverage curve and thresholds with a guarantee.

Risk is the share of wrong answers among those that are given, coverage the share of inputs that
are answered (El-Yaniv & Wiener 2010). A threshold is certified by testing, for each of a fixed
list of thresholds, that the risk above it is at most what is allowed ("Learn then Test",
Angelopoulos et al. 2021), with the exact binomial test. It holds when the rows are independent
draws of what will be asked, and were not used to fit the model or to order the thresholds.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.entities.estimate import Estimate
from milepost.metrics.inference.intervals import BOOTSTRAP_FROM, Sampling, clopper_pearson

_STEPS_PER_DOUBLING = 4
_START_EVERY = 8
_FEWEST_ERRORS = 5
_CHUNK = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What is answered above a threshold.

    Attributes:
        threshold: Smallest confidence that is answered.
        answered: Rows at or above it.
        wrong: Wrong ones among them.
    """

    threshold: float
    answered: int
    wrong: int


def thresholds(at_most_wrong: float) -> NDArray[np.float64]:
    """The thresholds that are tried, from the strictest down to 0, which answers everything.

    They are fixed before any row is seen, four per doubling of the doubt ``1 - threshold``, from
    an eighth of the allowed risk: a calibrated model that answers above ``1 - at_most_wrong``
    is wrong less often than allowed, so the one that is sought lies below.

    Args:
        at_most_wrong: Largest allowed risk, in (0, 1).
    """
    steps = int(np.floor(np.log2(8.0 / at_most_wrong) * _STEPS_PER_DOUBLING)) + 1
    doubt = at_most_wrong / 8.0 * 2.0 ** (np.arange(steps) / _STEPS_PER_DOUBLING)
    return np.append(1.0 - doubt[doubt < 1.0], 0.0)


def given(
    confidence: NDArray[np.floating], right: NDArray[np.bool_], tried: NDArray[np.float64]
) -> list[Given]:
    """Answers and mistakes at each threshold.

    Args:
        confidence: ``(n,)`` in [0, 1].
        right: ``(n,)`` whether the answer is right.
        tried: ``(g,)`` thresholds.
    """
    confidence = np.asarray(confidence, np.float64)
    order = np.argsort(-confidence, kind="stable")
    wrong = np.append(0, np.cumsum(~right[order]))
    counts = np.searchsorted(-confidence[order], -tried, side="right")
    return [
        Given(threshold=float(t), answered=int(c), wrong=int(wrong[c]))
        for t, c in zip(tried, counts, strict=True)
    ]


def p_value(found: Given, at_most_wrong: float) -> float:
    """Of "the risk is above ``at_most_wrong``": the exact binomial test; 1 without answers."""
    from scipy.special import bdtr

    if found.answered == 0:
        return 1.0
    return float(bdtr(found.wrong, found.answered, at_most_wrong))


def fallback(p_values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of an ordered list of hypotheses are rejected (Wiens 2003, fallback procedure).

    Each is tested at its own weight plus, where the one before it was rejected, all that that one
    was tested at. With the whole weight on one hypothesis this is fixed-sequence testing from
    there on. The family-wise error is at most the sum of the weights.

    Args:
        p_values: ``(g,)`` in testing order.
        weights: ``(g,)`` ≥ 0; share of the error that each starts with.
    """
    rejected = np.zeros(len(p_values), np.bool_)
    handed = 0.0
    for at, (p, own) in enumerate(zip(p_values.tolist(), weights.tolist(), strict=True)):
        level = own + handed
        rejected[at] = level > 0.0 and p <= level
        handed = level if rejected[at] else 0.0
    return rejected


def certified(
    found: list[Given], at_most_wrong: float, confidence: float, start: int | None = None
) -> Given | None:
    """The lowest threshold above which the risk is at most ``at_most_wrong``, or ``None``.

    With probability at least ``confidence`` over the rows, what is returned keeps the bound.

    Args:
        found: Of ``given`` at ``thresholds``, strictest first.
        at_most_wrong: Largest allowed risk, in (0, 1).
        confidence: Confidence of the bound, in (0, 1).
        start: The threshold to begin with, chosen on other rows; ``None`` spreads the error evenly
            over one in eight of them.
    """
    delta = 1.0 - confidence
    at = np.arange(len(found))
    begin = at % _START_EVERY == 0 if start is None else at == start
    weights = np.where(begin, delta / begin.sum(), 0.0)
    p_values = np.array([p_value(each, at_most_wrong) for each in found])
    kept = np.flatnonzero(fallback(p_values, weights))
    return found[int(kept[-1])] if len(kept) else None


def surest(found: list[Given], at_most_wrong: float, n: int, rows: int) -> int:
    """Where to begin on ``rows`` rows to come: the threshold that they would most surely certify.

    Args:
        found: Of ``given`` on other rows.
        at_most_wrong: Largest allowed risk, in (0, 1).
        n: How many other rows there were, ≥ 1.
        rows: How many there are to certify on.
    """
    from scipy.special import bdtr

    answered = np.array([each.answered for each in found]) * rows / n
    # Half a mistake more than seen: a threshold without one is not certain to make none.
    rate = np.array([(each.wrong + 0.5) / (each.answered + 1.0) for each in found])
    whole = np.maximum(answered, 1.0).astype(np.int64)
    expected = bdtr(np.floor(answered * rate), whole, at_most_wrong)
    return int(np.where(answered >= 1.0, expected, 1.0).argmin())


def rows_to_certify(
    found: list[Given], at_most_wrong: float, confidence: float, n: int
) -> int | None:
    """About how many rows would certify some threshold if its risk stays as seen.

    Args:
        found: Of ``given`` on ``n`` rows, ``n`` ≥ 1.
        at_most_wrong: Largest allowed risk.
        confidence: Confidence of the bound.
        n: Rows.

    Returns:
        At least ``n + 1``; ``None`` where every threshold's risk is at or above the bound.
    """
    from scipy.special import bdtr

    delta = (1.0 - confidence) / np.ceil(len(found) / _START_EVERY)
    answered = np.array([each.answered for each in found], np.float64)
    risk = np.array([(each.wrong + 0.5) / (each.answered + 1.0) for each in found])
    can = (answered > 0) & (risk < at_most_wrong)
    if not can.any():
        return None
    answered, risk = answered[can], risk[can]
    for doubling in range(1, 81):
        scale = 2.0 ** (doubling / 4.0)
        counts = (answered * scale).astype(np.int64)
        if (bdtr(np.floor(counts * risk), counts, at_most_wrong) <= delta).any():
            return max(n + 1, int(np.ceil(n * scale)))
    return None


def curve(
    confidence: NDArray[np.floating], right: NDArray[np.bool_], points: int = 20
) -> list[Given]:
    """Points of the risk-coverage curve at evenly spread coverage, the surest first.

    Args:
        confidence: ``(n,)``, at least one row.
        right: ``(n,)``.
        points: Most points, ≥ 1.
    """
    n = len(confidence)
    ranks = np.unique(np.ceil(np.arange(1, points + 1) * n / points).astype(np.int64))
    ordered = np.sort(np.asarray(confidence, np.float64))[::-1]
    return given(confidence, right, np.unique(ordered[ranks - 1])[::-1])


def area(
    confidence: NDArray[np.floating], right: NDArray[np.bool_], sampling: Sampling
) -> Estimate | None:
    """Area under the risk-coverage curve (Geifman, Uziel & El-Yaniv 2019): mean risk over coverage.

    Equal confidences count as one step, in which the mistakes are spread evenly. The interval is a
    BCa bootstrap (Efron 1987) with the jackknife's acceleration.

    Args:
        confidence: ``(n,)``.
        right: ``(n,)``.
        sampling: Confidence, resamples and seed.

    Returns:
        ``None`` below ``BOOTSTRAP_FROM`` rows or with fewer than five mistakes: a bootstrap cannot
        know then what it has not seen.
    """
    n = len(right)
    if n < BOOTSTRAP_FROM or int((~right).sum()) < _FEWEST_ERRORS:
        return None
    order = np.argsort(-np.asarray(confidence, np.float64), kind="stable")
    wrong = _spread(np.asarray(confidence, np.float64)[order], (~right[order]).astype(np.float64))
    value = float(_areas(np.ones((1, n)), wrong)[0])
    rng = np.random.default_rng(sampling.seed)
    step = max(1, _CHUNK // n)
    drawn: list[NDArray[np.float64]] = []
    for start in range(0, sampling.resamples, step):
        size = min(step, sampling.resamples - start)
        weights = rng.multinomial(n, np.full(n, 1.0 / n), size).astype(np.float64)
        drawn.append(_areas(weights, wrong))
    ends = _bca(np.concatenate(drawn), value, _without_each(wrong), sampling.confidence)
    low, high, at_least, at_most = ends
    return Estimate(
        value=value,
        low=min(low, value),
        high=max(high, value),
        n=n,
        method="bca",
        at_least=min(at_least, value),
        at_most=max(at_most, value),
    )


def _spread(ordered: NDArray[np.float64], wrong: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mistakes among equal confidences, shared evenly."""
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    sizes = np.diff(np.append(starts, len(ordered)))
    return np.repeat(np.add.reduceat(wrong, starts) / sizes, sizes)


def _areas(weights: NDArray[np.float64], wrong: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area for each row of weights ``(r, n)``, surest first."""
    answered = np.cumsum(weights, axis=1)
    risk = np.cumsum(weights * wrong, axis=1) / np.maximum(answered, 1.0)
    return (risk * weights).sum(axis=1) / answered[:, -1]


def _without_each(wrong: NDArray[np.float64]) -> NDArray[np.float64]:
    """The area without each row, ``(n,)``, in linear time.

    Without row i the risks before it stay; those after it lose ``wrong[i]`` and one answer.
    """
    n = len(wrong)
    rank = np.arange(1, n + 1, dtype=np.float64)
    total = np.cumsum(wrong)
    before = np.append(0.0, np.cumsum(total / rank)[:-1])
    later = np.maximum(rank - 1.0, 1.0)
    # sums over j > i of total_j / (j - 1) and of 1 / (j - 1)
    sums = np.append(np.cumsum((total / later)[::-1])[::-1][1:], 0.0)
    inverses = np.append(np.cumsum((1.0 / later)[::-1])[::-1][1:], 0.0)
    return (before + sums - wrong * inverses) / (n - 1.0)


def _bca(
    drawn: NDArray[np.float64], value: float, left_out: NDArray[np.float64], confidence: float
) -> tuple[float, float, float, float]:
    from scipy.special import ndtr, ndtri

    alpha = 1.0 - confidence
    tails = np.array([alpha / 2.0, 1.0 - alpha / 2.0, alpha, 1.0 - alpha])
    edge = 1.0 / len(drawn)
    below = float((drawn < value).mean() + (drawn == value).mean() / 2.0)
    shift = float(ndtri(min(max(below, edge), 1.0 - edge)))
    off = left_out.mean() - left_out
    spread = float((off**2).sum())
    acceleration = float((off**3).sum()) / (6.0 * spread**1.5) if spread > 0.0 else 0.0
    z = shift + np.asarray(ndtri(tails))
    ends = np.quantile(drawn, np.asarray(ndtr(shift + z / (1.0 - acceleration * z))))
    low, high, at_least, at_most = (float(end) for end in ends)
    return low, high, at_least, at_most


def risk_bounds(found: Given, confidence: float) -> tuple[float, float]:
    """Exact two-sided interval of the risk at one threshold; (0, 1) without answers."""
    if found.answered == 0:
        return 0.0, 1.0
    return clopper_pearson(found.wrong, found.answered, (1.0 - confidence) / 2.0)
