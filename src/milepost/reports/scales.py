"""Scales of the bars in tables, so that a reader can compare them."""

from milepost.entities.estimate import Estimate
from milepost.reports.document import Bar

LEADERS_REACH = 5
"""Interval widths of the best candidate that the scale of the bars reaches beyond it."""


def bar(estimate: Estimate, scale: tuple[float, float]) -> Bar:
    """An estimate on a scale."""
    return Bar(estimate.low, estimate.value, estimate.high, *scale)


def common_scale(estimates: list[Estimate]) -> tuple[float, float]:
    """One scale for several bars, so that a reader can compare them; never of no width."""
    low = min((e.low for e in estimates), default=0.0)
    high = max((e.high for e in estimates), default=1.0)
    return (low, high) if high - low > 1e-9 else (low - 0.5, high + 0.5)


def leaders_scale(estimates: list[Estimate], *, lower: bool = False) -> tuple[float, float]:
    """A scale that shows the leaders apart: it reaches a few interval widths beyond the best.

    A baseline far off would squeeze all the others into one spot; it is drawn as beyond.

    Args:
        estimates: One per candidate.
        lower: Whether a lower value is better.
    """
    low, high = common_scale(estimates)
    if not estimates:
        return low, high
    pick = min if lower else max
    best = pick(estimates, key=lambda estimate: estimate.value)
    reach = LEADERS_REACH * max(best.high - best.low, 0.01)
    if lower:
        return low, min(high, max(best.high + reach, low + 1e-3))
    return max(low, min(best.low - reach, high - 1e-3)), high
