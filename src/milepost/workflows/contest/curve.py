"""The learning curve of a contest: the closed-form head at growing numbers of labels."""

from collections.abc import Iterable, Sequence

import numpy as np

from milepost.contests.curve import Point, learning_curve
from milepost.contests.runner import Entry
from milepost.data.splitting.folding import fold_examples
from milepost.entities.contest import CurvePoint
from milepost.entities.estimate import Estimate
from milepost.entities.kinds import strata
from milepost.evaluation.measuring import units_of
from milepost.metrics.inference.intervals import estimate_of
from milepost.metrics.scoring.measures import Sample
from milepost.strategies.head_closed_form import HeadClosedForm
from milepost.strategies.head_ridge import HeadRidge
from milepost.strategy import Problem
from milepost.workflows.contest.judge import Bench


def curve_of(bench: Bench, problem: Problem, entries: Sequence[Entry]) -> tuple[CurvePoint, ...]:
    """Points with intervals, in the objective's measure; empty where the head did not compete."""
    strategy = HeadClosedForm() if problem.link == "softmax" else HeadRidge()
    entry = next((e for e in entries if e.strategy == strategy.name), None)
    if entry is None or entry.fitted is None:
        return ()
    parts = strata(problem.kind, problem.y)
    folding = (
        fold_examples(bench.train, parts, bench.settings.folds, problem.seed, bench.own)
        if bench.train.times
        else None
    )
    return tuple(
        CurvePoint(examples=point.examples, estimate=_mean(bench, point))
        for point in learning_curve(problem, bench.train.groups, strategy, folding=folding)
    )


def _mean(bench: Bench, point: Point) -> Estimate:
    """Mean over draws of the metric and of its bounds: the rows, not the draws, are the sample."""
    y, counted = bench.train_y[bench.counted], bench.counted
    units = units_of(bench.train.take(counted.tolist()).groups)
    each = [
        estimate_of(
            bench.measure.found(Sample(y, drawn[counted], units)), bench.sampling.confidence
        )
        for drawn in point.probabilities
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
