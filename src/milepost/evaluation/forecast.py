"""What a learning curve promises for more labels, as points with intervals."""

from collections.abc import Sequence

import numpy as np

from milepost.entities.contest import Contest, CurvePoint
from milepost.entities.estimate import Estimate
from milepost.evaluation.measuring import OWN
from milepost.metrics.inference.forecast import FEWEST_POINTS, Continued, continued, half_width
from milepost.metrics.scoring.measures import Measure

CURVE_OF = ("head_closed_form", "head_ridge")
"""The strategies that the curve is of: of one label, of other kinds."""

AHEAD = (2, 5)
"""Times the labels that there are now."""


def forecast(
    measure: Measure, points: Sequence[CurvePoint], confidence: float
) -> tuple[CurvePoint, ...]:
    """Expected measure at ``AHEAD`` times the last point's examples.

    What is continued is the distance to the best value that the measure can have, as a share of
    its range; without a worst value, of twice the largest distance on the curve.

    Args:
        measure: What the curve is measured in.
        points: Learning curve, ascending.
        confidence: Two-sided coverage of the intervals.

    Returns:
        Empty where ``why_none`` says why.
    """
    best = measure.high if measure.higher else measure.low
    if not np.isfinite(best) or why_none(measure.name, points) is not None:
        return ()
    from scipy.special import ndtri

    sizes = np.asarray([point.examples for point in points], np.float64)
    errors = np.abs(best - np.asarray([point.estimate.value for point in points]))
    span = _span(measure, float(errors.max()))
    last = points[-1].estimate
    current = (last.high - last.low) / 2.0 / span
    two, one = float(ndtri(0.5 + confidence / 2.0)), float(ndtri(confidence))
    ahead: list[CurvePoint] = []
    for times in AHEAD:
        examples = times * points[-1].examples
        found = continued(sizes, 1.0 - errors / span, float(examples))
        widths = (
            span * half_width(found, current, two),
            span * half_width(found, current * one / two, one),
        )
        estimate = _estimate(measure, best, span, found, widths, last.n)
        ahead.append(CurvePoint(examples=examples, estimate=estimate))
    return tuple(ahead)


def why_none(
    metric: str, points: Sequence[CurvePoint], contest: Contest | None = None
) -> str | None:
    """Why a curve is not continued, as a sentence; ``None`` where it is.

    Args:
        metric: The objective's metric.
        points: The learning curve.
        contest: What tells why there is no curve.
    """
    if not points:
        return f"There is no learning curve{'' if contest is None else _no_curve(contest)}."
    if metric.startswith(OWN):
        return "The best value of a measure of one's own is not known, so it is not continued."
    if len(points) < FEWEST_POINTS:
        return (
            f"The learning curve has {len(points)} of the {FEWEST_POINTS} points that a forecast "
            "needs: there are few examples for so many labels."
        )
    return None


def _no_curve(contest: Contest) -> str:
    """Why a contest has no learning curve, after a colon."""
    head = next((each for each in contest.candidates if each.strategy in CURVE_OF), None)
    if head is None:
        return ": it shows the closed-form head, which did not compete"
    if head.error is not None:
        return ": it shows the closed-form head, which was not fitted"
    if contest.budget_seconds is not None:
        return ": the budget left no time for it, or there are too few examples for its points"
    return ": there are too few examples for its points"


def _span(measure: Measure, largest: float) -> float:
    """What errors are a share of."""
    span = measure.high - measure.low
    return span if np.isfinite(span) and span > 0.0 else max(2.0 * largest, 1e-9)


def _estimate(
    measure: Measure,
    best: float,
    span: float,
    found: Continued,
    widths: tuple[float, float],
    n: int,
) -> Estimate:
    value = best - measure.sign * span * (1.0 - found.value)

    def held(bound: float) -> float:
        return float(np.clip(bound, measure.low, measure.high))

    return Estimate(
        value=value,
        low=held(value - widths[0]),
        high=held(value + widths[0]),
        n=n,
        method="learning_curve",
        at_least=held(value - widths[1]),
        at_most=held(value + widths[1]),
    )
