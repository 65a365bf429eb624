"""Rates of groups of rows, and the largest difference between any two of them.

Rates by group and the criteria on them: Hardt, Price & Srebro (2016), equality of opportunity and
equalised odds; demographic parity as in Dwork et al. (2012).
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.metrics.inference.comparison import independent_p_value
from milepost.metrics.inference.intervals import Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The largest difference between two of several groups.

    Attributes:
        value: Highest minus lowest rate as measured, >= 0. With many small groups it lies above
            the true one by luck; the interval knows that.
        low: Lower end of the interval, >= 0.
        high: Upper end.
        highest: Index of the group with the highest rate.
        lowest: Index of the group with the lowest.
        p_value: Of "all groups are alike".
    """

    value: float
    low: float
    high: float
    highest: int
    lowest: int
    p_value: float


def units_of(names: Sequence[Hashable]) -> NDArray[np.int64]:
    """Equal names as equal indices, ``(n,)`` in ``[0, u)``, in order of first appearance."""
    position: dict[Hashable, int] = {}
    return np.asarray([position.setdefault(name, len(position)) for name in names], np.int64)


def clustered(values: NDArray[np.bool_], units: NDArray[np.int64]) -> Measured:
    """A proportion of rows that come in units, such as several rows of one customer.

    The rows are worth as many independent ones as the variance between units says, at most their
    number, with a further discount for few units (Korn & Graubard 1998, equation 3). Without a
    visible spread, units count as if their rows were all alike (Kish 1965). Where every row is a
    unit of its own this is the exact proportion.

    Args:
        values: ``(n,)``, at least one.
        units: ``(n,)``, equal for rows of one unit; any integers.
    """
    n = len(values)
    value = float(values.mean())
    _, place = np.unique(units, return_inverse=True)
    sizes = np.bincount(place.reshape(-1))
    u = len(sizes)
    if u == n:
        return Measured(value=value, size=float(n), chance=0.0, n=n, method="clopper_pearson")
    alike = n * n / float((sizes.astype(np.float64) ** 2).sum())
    size = 1.0
    if u > 1:
        apart = np.bincount(place.reshape(-1), values - value, minlength=u)
        variance = float((apart**2).sum()) * u / (u - 1) / (n * n)
        spread = value * (1.0 - value)
        size = min(spread / variance, float(n)) if variance > 0.0 and spread > 0.0 else alike
        size *= _few(u)
    return Measured(
        value=value,
        size=max(size, 1.0),
        chance=0.0,
        n=n,
        method="clopper_pearson_effective",
    )


def largest_difference(
    rates: Sequence[Measured], confidence: float, questions: int = 1
) -> Range | None:
    """The range of several rates with an interval, and a test of "all are alike".

    The lower end is the largest of the simultaneous lower bounds of all ordered pairs (MOVER on
    exact bounds, Zou & Donner 2008; Bonferroni over pairs): the range is at least every difference.
    The upper end is the largest upper bound of any pair and needs no correction over pairs, since
    it can only be too low where the one pair that is truly furthest apart has its bound too low.

    Args:
        rates: Of separate groups. Rows that two groups share make the interval wider than needed.
        confidence: Two-sided coverage, in (0, 1), over all ``questions`` together.
        questions: Ranges that are asked about at once (Bonferroni), at least 1.

    Returns:
        ``None`` for fewer than two groups.
    """
    g = len(rates)
    if g < 2:
        return None
    tail = (1.0 - confidence) / 2.0 / questions
    values = np.array([rate.value for rate in rates])
    pairs = g * (g - 1)
    lows, _ = _differences(rates, values, tail / pairs)
    _, highs = _differences(rates, values, tail)
    np.fill_diagonal(lows, -np.inf)
    first, second = np.unravel_index(int(lows.argmax()), lows.shape)
    raw = independent_p_value(rates[int(first)], rates[int(second)])
    highest, lowest = int(values.argmax()), int(values.argmin())
    value = float(values[highest] - values[lowest])
    most = 1.0 - min(rate.chance for rate in rates)
    return Range(
        value=value,
        low=min(max(float(lows.max()), 0.0), value),
        high=min(max(float(highs.max()), value), most),
        highest=highest,
        lowest=lowest,
        p_value=min(raw * pairs * questions, 1.0),
    )


def _differences(
    rates: Sequence[Measured], values: NDArray[np.float64], tail: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper bound of row minus column, ``(g, g)`` each."""
    bounds = np.array([rate.bounds(tail) for rate in rates])
    down, up = values - bounds[:, 0], bounds[:, 1] - values
    apart = values[:, None] - values[None, :]
    low = apart - np.hypot(down[:, None], up[None, :])
    return low, apart + np.hypot(up[:, None], down[None, :])


def _few(units: int) -> float:
    """Discount for a variance that is known from few units only."""
    from scipy.special import ndtri, stdtrit

    return float((ndtri(0.975) / stdtrit(units - 1, 0.975)) ** 2)
