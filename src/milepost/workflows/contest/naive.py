"""What the chosen candidate would seem to reach if leaking rows had been trained on."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np

from milepost.contests.runner import predict, refit
from milepost.entities.contest import Candidate
from milepost.entities.estimate import Estimate
from milepost.metrics.inference.intervals import estimate_of
from milepost.metrics.scoring.measures import Sample
from milepost.strategy import Combining, Problem, Strategy
from milepost.workflows.contest.datasets import Material
from milepost.workflows.contest.judge import Bench, Judgement

MOST_ROWS = 20_000
"""Training rows, leaking ones included, up to which the candidate is fitted once more for this."""


class Naive(msgspec.Struct, frozen=True):
    """The naive number; ``None`` where there is none."""

    estimate: Estimate | None = None


def naive_of(
    bench: Bench,
    problem: Problem,
    material: Material,
    strategies: Sequence[Strategy],
    judgement: Judgement,
) -> Naive:
    """The objective's metric on the whole test file, leaking rows trained on.

    Temperature and thresholds are those of the candidate, so that the rows alone make a difference.

    Nothing where no row leaks, there are more than ``MOST_ROWS`` rows to fit again, a language
    model would be asked for it, or the candidate is made of others.
    """
    chosen, leaks = judgement.chosen, material.leaks
    if chosen is None or not len(leaks) or len(problem.texts) + len(leaks) > MOST_ROWS:
        return Naive()
    strategy = next(each for each in strategies if each.name == chosen.strategy)
    judged = judgement.predictors[chosen.strategy]
    if judged.upstreams or isinstance(strategy, Combining):
        return Naive()
    with_leaks = replace(
        problem,
        texts=(*problem.texts, *leaks.texts),
        y=np.concatenate([problem.y, material.leaks_y]),
    )
    predictor = refit(with_leaks, strategy, judged)
    probabilities = predict(predictor, bench.judged.texts, bench.encoder)
    found = bench.measure.found(Sample(bench.judged_y, probabilities))
    return Naive(estimate_of(found, bench.sampling.confidence))


def with_naive(judgement: Judgement, naive: Naive, leaks: int) -> Judgement:
    """The judgement with the naive number beside the chosen candidate's own."""
    estimate = naive.estimate
    if estimate is None:
        return judgement

    def of(candidate: Candidate) -> Candidate:
        card = candidate.scorecard
        if not candidate.chosen or card is None:
            return candidate
        own = card.objective
        note = (
            f"{leaks:,} labelled training row{'s' * (leaks != 1)} that the test file holds the "
            f"like of {'were' if leaks != 1 else 'was'} left out. Trained on them too, "
            f"{card.metric.replace('_', ' ')} would read {estimate.value:.3f} instead of "
            f"{own.value:.3f}: {_difference(100 * (estimate.value - own.value))}."
        )
        card = msgspec.structs.replace(card, naive=estimate, notes=(*card.notes, note))
        return msgspec.structs.replace(candidate, scorecard=card)

    return replace(judgement, candidates=tuple(of(each) for each in judgement.candidates))


def _difference(points: float) -> str:
    if abs(points) < 0.05:
        return "the leaked rows make no difference"
    return f"{points:+.1f} points are owed to the leaked rows"
