"""The learning curve of a contest: the closed-form head at growing numbers of labels."""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.contests.curve import learning_curve
from milepost.contests.runner import Entry
from milepost.entities.contest import CurvePoint
from milepost.entities.estimate import Estimate
from milepost.evaluation.forecast import METRICS
from milepost.metrics.intervals import estimate
from milepost.strategies.head_closed_form import HeadClosedForm
from milepost.strategy import Problem
from milepost.workflows.contest.judge import Bench


def curve_of(bench: Bench, problem: Problem, entries: Sequence[Entry]) -> tuple[CurvePoint, ...]:
    """Points with intervals.

    Empty where the head did not compete, where the metric is none that a count of right answers
    gives, and for examples in time, of which a random draw would learn from what came later.
    """
    strategy = HeadClosedForm()
    entry = next((e for e in entries if e.strategy == strategy.name), None)
    timed = bench.task.data.time is not msgspec.UNSET
    if entry is None or entry.fitted is None or timed:
        return ()
    if bench.task.objective.metric not in METRICS | {"mcc"}:
        return ()
    return tuple(
        CurvePoint(examples=point.examples, estimate=_mean(bench, point.answers))
        for point in learning_curve(problem, bench.train.groups, strategy)
    )


def _mean(bench: Bench, draws: NDArray[np.int64]) -> Estimate:
    """Mean over draws of the metric and of its bounds: the rows, not the draws, are the sample."""
    metric, k, counted = bench.task.objective.metric, len(bench.labels), bench.counted
    each = [
        estimate(metric, bench.train_y[counted], answers[counted], k, bench.sampling)
        for answers in draws
    ]

    def mean(values: Iterable[float]) -> float:
        return float(np.mean(list(values)))

    return Estimate(
        value=mean(e.value for e in each),
        low=mean(e.low for e in each),
        high=mean(e.high for e in each),
        n=each[0].n,
        method=each[0].method,
        at_least=mean(e.at_least for e in each),
        at_most=mean(e.at_most for e in each),
    )
