"""What a learning curve promises for more labels, as points with intervals."""

from collections.abc import Sequence

import numpy as np

from milepost.entities.contest import CurvePoint
from milepost.entities.estimate import Estimate
from milepost.metrics.forecast import FEWEST_POINTS, continued, half_width

AHEAD = (2, 5)
"""Times the labels that there are now."""

METRICS = frozenset({"accuracy", "balanced_accuracy", "macro_f1", "weighted_f1"})
"""Metrics that the forecast is made for: higher is better, from 0 to 1."""


def forecast(
    metric: str, points: Sequence[CurvePoint], confidence: float
) -> tuple[CurvePoint, ...]:
    """Expected metric at ``AHEAD`` times the last point's examples.

    Args:
        metric: Name of the metric.
        points: Learning curve, ascending.
        confidence: Two-sided coverage of the intervals.

    Returns:
        Empty where the metric is not one of ``METRICS`` or the curve has too few points.
    """
    if metric not in METRICS or len(points) < FEWEST_POINTS:
        return ()
    from scipy.special import ndtri

    sizes = np.asarray([point.examples for point in points], np.float64)
    values = np.asarray([point.estimate.value for point in points])
    last = points[-1].estimate
    current = (last.high - last.low) / 2.0
    two, one = float(ndtri(0.5 + confidence / 2.0)), float(ndtri(confidence))
    ahead: list[CurvePoint] = []
    for times in AHEAD:
        examples = times * points[-1].examples
        found = continued(sizes, values, float(examples))
        wide = half_width(found, current, two)
        narrow = half_width(found, current * one / two, one)
        estimate = Estimate(
            value=found.value,
            low=max(found.value - wide, 0.0),
            high=min(found.value + wide, 1.0),
            n=last.n,
            method="learning_curve",
            at_least=max(found.value - narrow, 0.0),
            at_most=min(found.value + narrow, 1.0),
        )
        ahead.append(CurvePoint(examples=examples, estimate=estimate))
    return tuple(ahead)
