"""How many more rows a question needs, if quality stays as it was measured."""

from collections.abc import Callable
from math import ceil

from milepost.entities.estimate import Estimate
from milepost.metrics.inference.intervals import clopper_pearson

MOST_ROWS = 1_000_000
"""Answers beyond this are not given: the measured value is too near to the bar."""


def rows_to_decide(estimate: Estimate, bar: float, confidence: float) -> int | None:
    """Rows at which a one-sided bound would clear ``bar``, at the value measured now.

    Inverts the exact bound (Clopper & Pearson 1934) twice: for the effective size behind the
    estimate, and for the size that the bar asks for. The true need scatters around it, because
    the value measured on more rows will not be the same.

    For what does not lie in [0, 1] the distance of the bound is taken to shrink with the square
    root of the rows.

    Args:
        estimate: What was measured.
        bar: The floor or ceiling.
        confidence: Confidence of the one-sided bounds of ``estimate``.

    Returns:
        Rows in all, more than ``estimate.n``; ``None`` when no practical number decides.
    """
    above = estimate.value >= bar
    reached = estimate.at_least if above else estimate.at_most
    if estimate.method.startswith("gaffke"):
        half, apart = abs(estimate.value - reached), abs(estimate.value - bar)
        if apart * MOST_ROWS**0.5 <= half:
            return None
        rows = max(estimate.n + 1, ceil(estimate.n * (half / apart) ** 2))
        return rows if rows <= MOST_ROWS else None
    share = min(max(estimate.value, 0.0), 1.0)

    def bound(size: float) -> float:
        low, high = clopper_pearson(share * size, size, 1.0 - confidence)
        return low if above else -high

    sign = 1.0 if above else -1.0
    now = _smallest(bound, sign * reached)
    needed = _smallest(bound, sign * bar)
    if now is None or needed is None:
        return None
    rows = max(estimate.n + 1, ceil(estimate.n * needed / now))
    return rows if rows <= MOST_ROWS else None


def _smallest(bound: Callable[[float], float], target: float) -> float | None:
    """Smallest size whose bound reaches ``target``; bounds grow with the size."""
    low, high = 0.5, float(MOST_ROWS)
    if bound(high) < target:
        return None
    for _ in range(60):
        middle = (low * high) ** 0.5
        if bound(middle) >= target:
            high = middle
        else:
            low = middle
    return high
