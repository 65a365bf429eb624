"""What strategies that are made of others are given: what these came to, cost and took."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from milepost.contests.runner import Entry, Fitted, refit
from milepost.contests.searching.searched import settled
from milepost.entities.asked import Answering
from milepost.entities.cascade import Promise
from milepost.entities.money import MICRO
from milepost.entities.scorecard import Latency
from milepost.predictors.base import Predictor
from milepost.strategy import Combining, Contender, Problem, Strategy


def combining(strategies: Sequence[Strategy]) -> list[Strategy]:
    """Those that are made of others."""
    return [each for each in strategies if isinstance(each, Combining)]


def contenders(
    problem: Problem,
    strategies: Sequence[Strategy],
    entered: Sequence[Entry],
    timed: Mapping[str, Latency],
) -> list[Contender]:
    """What the strategies that could be fitted came to, in the order in which they entered."""
    by_name = {strategy.name: strategy for strategy in strategies}
    return [
        _contender(
            problem,
            settled(by_name[entry.strategy], entry.parameters),
            entry.fitted,
            timed[entry.strategy],
        )
        for entry in entered
        if entry.fitted is not None
    ]


def _contender(problem: Problem, strategy: Strategy, fitted: Fitted, took: Latency) -> Contender:
    def again(rows: NDArray[np.int64]) -> Predictor:
        return refit(problem.take(rows), strategy, fitted.predictor)

    return Contender(
        strategy=strategy.name,
        predictor=fitted.predictor,
        out_of_fold=fitted.out_of_fold,
        micro_usd_per_1k=took.cost_per_1k_usd * MICRO,
        p50_ms=took.p50_ms,
        refit=None if fitted.predictor.upstreams else again,
    )


def promised(promise: Promise) -> Answering:
    """What a cascade's answers take, from the rows that certified its promise.

    An answer takes as long as all rungs together that it climbed to.
    """
    climbed = np.cumsum([rung.p50_ms for rung in promise.rungs])
    answered = np.array([rung.answered for rung in promise.rungs], np.int64)
    times = np.repeat(climbed, answered)
    p50, p95 = np.quantile(times, [0.5, 0.95]) if len(times) else (0.0, 0.0)
    return Answering(
        n=len(times),
        p50_ms=float(p50),
        p95_ms=float(p95),
        cpu_seconds_per_1k=0.0,
        micro_usd_per_1k=promise.usd_per_1k * MICRO,
    )


def with_times(entry: Entry) -> Entry:
    """The entry of a cascade that asks, with what its promise says of time and cost.

    Only where nothing was held out: its predictor has seen every other text.
    """
    fitted = entry.fitted
    promise = getattr(fitted.predictor, "promise", None) if fitted is not None else None
    if fitted is None or fitted.answering is not None or not isinstance(promise, Promise):
        return entry
    return replace(entry, fitted=replace(fitted, answering=promised(promise)))
