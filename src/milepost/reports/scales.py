"""Scales of the bars in tables, so that a reader can compare them."""

from milepost.entities.estimate import Estimate
from milepost.reports.document import Bar

LEADERS_REACH = 5
"""Interval widths of the best candidate that the scale of the bars reaches below it."""


def bar(estimate: Estimate, scale: tuple[float, float]) -> Bar:
    """An estimate on a scale."""
    return Bar(estimate.low, estimate.value, estimate.high, *scale)


def common_scale(estimates: list[Estimate]) -> tuple[float, float]:
    """One scale for several bars, so that a reader can compare them; never of no width."""
    low = min((e.low for e in estimates), default=0.0)
    high = max((e.high for e in estimates), default=1.0)
    return (low, high) if high - low > 1e-9 else (low - 0.5, high + 0.5)


def leaders_scale(estimates: list[Estimate]) -> tuple[float, float]:
    """A scale that shows the leaders apart: it reaches a few interval widths below the best.

    A baseline far below would squeeze all the others into one spot; it is drawn as beyond.
    """
    low, high = common_scale(estimates)
    if not estimates:
        return low, high
    best = max(estimates, key=lambda estimate: estimate.value)
    reach = best.low - LEADERS_REACH * max(best.high - best.low, 0.01)
    return max(low, min(reach, high - 1e-3)), high
