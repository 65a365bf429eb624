"""Predictors in order of cost, with a promise about what is answered before the last one.

The rows are parted once, by folds. On the first part the rungs are fitted, and chosen by answers
that are out of fold within it; the second part certifies the threshold. What is shipped is what was
certified: a rung that were fitted on everything afterwards would be another one, with confidences
of its own, and the promise would not be about it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from milepost.entities.kinds import Kind
from milepost.metrics.risk.cascading import tally
from milepost.predictors.base import Predictor
from milepost.strategies.cascading.certifying import Chain, certified_at, chain_of, check_labels
from milepost.strategies.cascading.promising import Settled, answers_of, predictor_of
from milepost.strategies.cascading.rungs import (
    Parts,
    Rows,
    Rung,
    candidate,
    fitted,
    ladder_of,
    parts_of,
    sides,
)
from milepost.strategy import Contender, DeclinedError, Problem

WORTH = 0.02
"""Share of the cost that a further rung must save to be taken in."""

TRIED = 6
"""Most predictors that rungs are chosen among: those that save most by themselves."""


@dataclass(frozen=True, slots=True)
class Cascade:
    """Cheap predictors first and a dear one for the rest, with a promise about the cheap ones.

    What is promised stands in ``problem.cascade``.

    Attributes:
        most_rungs: Most rungs before the last one, 1 to 4.
    """

    name: ClassVar[str] = "cascade"
    kinds: ClassVar[tuple[Kind, ...]] = ("classify", "match")

    most_rungs: int = 3

    def __post_init__(self) -> None:
        if not 1 <= self.most_rungs <= 4:
            raise ValueError("most_rungs must be between 1 and 4")

    def supports(self, problem: Problem) -> str | None:
        """It is made of others, so that the problem alone says nothing."""
        del problem
        return None

    def fit(self, problem: Problem) -> Predictor:
        """Not without others.

        Raises:
            DeclinedError: Always; ``combine`` is what makes one.
        """
        del problem
        raise DeclinedError("A cascade is made of what other strategies came to.")

    def combine(
        self, problem: Problem, fold_of: Rows, others: Sequence[Contender]
    ) -> tuple[Predictor, NDArray[np.float32]]:
        """See :class:`milepost.strategy.Combining`."""
        parts = parts_of(problem, fold_of)
        last, lower = sides(problem, parts, others)
        check_labels(problem, parts)
        candidates = [candidate(problem, parts, each) for each in lower]
        problem.progress(0.7)
        chain = self._chosen(problem, parts, candidates, last)
        chain = replace(chain, rungs=tuple(fitted(problem, parts, c) for c in chain.rungs))
        problem.progress(0.9)
        found = tally(ladder_of(problem, parts.certifying, chain.rungs), chain.thresholds)
        settled = Settled(chain, last, found, certified_at(problem, found, chain, last))
        predictor = predictor_of(problem, parts, settled)
        problem.progress(1.0)
        return predictor, answers_of(predictor, settled, len(problem.texts))

    def _chosen(
        self, problem: Problem, parts: Parts, rungs: Sequence[Rung], last: Contender | None
    ) -> Chain:
        """The chain that costs least where it seems safe, on answers out of fold."""
        alone = sorted(
            (chain_of(problem, parts, (each,), last) for each in rungs),
            key=lambda chain: chain.cost,
        )
        promising = sorted(
            (chain.rungs[0] for chain in alone[:TRIED]),
            key=lambda each: (each.contender.micro_usd_per_1k, each.contender.p50_ms),
        )
        best = alone[0]
        for count in range(2, min(self.most_rungs, len(promising)) + 1):
            chains = [
                chain_of(problem, parts, each, last) for each in combinations(promising, count)
            ]
            cheapest = min(chains, key=lambda chain: chain.cost)
            if cheapest.cost < best.cost * (1.0 - WORTH):
                best = cheapest
        return best
