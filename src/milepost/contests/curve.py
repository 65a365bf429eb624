"""The learning curve of a strategy that leaves groups out exactly.

Every point is a mean over several draws, and every draw answers all examples: those that were drawn
by a predictor without their group, the others by the predictor of the draw. With times each is
answered by what was drawn among earlier examples, as in forward chaining.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from milepost.contests.runner import predict
from milepost.contests.thresholds import answers_out_of_fold, with_thresholds
from milepost.data.splitting.folding import FIRST, Folding
from milepost.entities.kinds import strata
from milepost.entities.prediction import linked
from milepost.metrics.scoring.deciding import decided
from milepost.predictors.base import Predictor
from milepost.strategy import Problem

SHARES = (0.15, 0.25, 0.35, 0.5, 0.7)
"""Shares of the examples that points before the last are fitted to."""

DRAWS = 4
"""Draws of each share."""


@runtime_checkable
class GroupLeaving(Protocol):
    """Offered by strategies that answer each example without its group, exactly and cheaply."""

    def leave_group_out(
        self, problem: Problem, groups: NDArray[np.int64]
    ) -> tuple[Predictor, NDArray[np.float64]]:
        """The predictor of all examples, and logits ``(n, k)`` from fits without each group."""
        ...

    def fit(self, problem: Problem) -> Predictor:
        """The predictor of all examples."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """One size of the training set.

    Attributes:
        examples: Training examples, on average over draws and answers.
        probabilities: ``(draws, n, k) float32`` answers to all examples, none by a predictor that
            saw the example's group. With times those that no fold counts are even.
    """

    examples: int
    probabilities: NDArray[np.float32]

    @property
    def answers(self) -> NDArray[np.int64]:
        """Most probable labels, ``(draws, n)``; -1 where nothing is decided."""
        return decided(self.probabilities)


def learning_curve(
    problem: Problem,
    groups: Sequence[str],
    strategy: GroupLeaving,
    draws: int = DRAWS,
    folding: Folding | None = None,
) -> list[Point]:
    """Answers at growing sizes, the last of which is all examples.

    Sizes that leave fewer than one example per label on average are left out; so is everything
    after the deadline.

    Args:
        problem: All training examples; its encoder should hold their vectors.
        groups: Near-duplicate group of each example.
        strategy: What is fitted.
        draws: Draws per size, at least 1; the last size has one, as there is no other.
        folding: Folds that follow each other in time, for examples with times.
    """
    _, group_of = np.unique(np.asarray(groups), return_inverse=True)
    first = np.unique(group_of, return_index=True)[1]
    label_of_group = strata(problem.kind, problem.y)[first]
    points: list[Point] = []
    for share in (*SHARES, 1.0):
        if problem.deadline.passed or share * len(group_of) < max(len(problem.labels), 4):
            continue
        found: list[_Draw] = []
        for draw in range(draws if share < 1.0 else 1):
            rng = np.random.default_rng([problem.seed, round(1000 * share), draw])
            inside = _drawn(rng, label_of_group, share)[group_of]
            answered = (
                _left_out(problem, group_of, strategy, inside)
                if folding is None
                else _forward(problem, folding, strategy, inside)
            )
            found += [answered] if answered is not None else []
        examples = round(float(np.mean([each.examples for each in found]))) if found else 0
        if found and (not points or examples > points[-1].examples):
            points.append(Point(examples, np.stack([each.probabilities for each in found])))
    return points


@dataclass(frozen=True, slots=True, eq=False)
class _Draw:
    """Answers ``(n, k)`` at one draw, and how many examples stand behind one on average."""

    examples: float
    probabilities: NDArray[np.float32]


def _left_out(
    problem: Problem,
    group_of: NDArray[np.int64],
    strategy: GroupLeaving,
    inside: NDArray[np.bool_],
) -> _Draw | None:
    """Each drawn row without its group, the rest by the draw; ``None`` where there is too little.

    Thresholds of a half of the groups are chosen on the other half, as they are out of fold.
    """
    rows, rest = np.flatnonzero(inside), np.flatnonzero(~inside)
    drawn = problem.take(rows)
    if len(np.unique(strata(problem.kind, drawn.y))) < 2:
        return None
    predictor, logits = strategy.leave_group_out(drawn, group_of[rows])
    own = linked(problem.link, logits)
    predictor = with_thresholds(predictor, own, drawn)
    halves = Folding(group_of[rows] % 2, np.ones(len(rows), np.bool_))
    given = (drawn.y, problem.metric)
    answers = answers_out_of_fold(predictor, own, given, halves, np.arange(len(rows)))
    probabilities = np.zeros((len(inside), len(problem.labels)), np.float32)
    probabilities[rows] = answers.judged
    if len(rest):
        texts = [problem.texts[i] for i in rest.tolist()]
        probabilities[rest] = predict(predictor, texts, problem.encoder)
    return _Draw(float(len(rows)), probabilities)


def _forward(
    problem: Problem, folding: Folding, strategy: GroupLeaving, inside: NDArray[np.bool_]
) -> _Draw | None:
    """Each fold by what was drawn before it; ``None`` where one has fewer than two labels."""
    k = len(problem.labels)
    probabilities = np.full((len(inside), k), 1.0 / k, np.float32)
    fitted, answered = 0, 0
    for fold in range(FIRST, folding.count):
        earlier, rows = folding.fitted_on(fold), folding.inside(fold)
        drawn = earlier[inside[earlier]]
        if len(np.unique(strata(problem.kind, problem.y[drawn]))) < 2:
            return None
        texts = [problem.texts[i] for i in rows.tolist()]
        probabilities[rows] = predict(strategy.fit(problem.take(drawn)), texts, problem.encoder)
        fitted, answered = fitted + len(drawn) * len(rows), answered + len(rows)
    return _Draw(fitted / answered, probabilities) if answered else None


def _drawn(rng: np.random.Generator, labels: NDArray[np.int64], share: float) -> NDArray[np.bool_]:
    """A share of each label's groups at random, at least one, ``(groups,)``."""
    order = rng.permutation(len(labels))
    by_label = order[np.argsort(labels[order], kind="stable")]
    _, starts, counts = np.unique(labels[by_label], return_index=True, return_counts=True)
    rank = np.arange(len(labels)) - np.repeat(starts, counts)
    kept = rank < np.maximum(1, np.round(np.repeat(counts, counts) * share))
    drawn = np.zeros(len(labels), np.bool_)
    drawn[by_label[kept]] = True
    return drawn
