"""The learning curve of a strategy that leaves groups out exactly.

Every point is a mean over several draws, and every draw answers all examples: those that were drawn
by a predictor without their group, the others by the predictor of the draw.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from milepost.contests.runner import predict
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


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """One size of the training set.

    Attributes:
        examples: Training examples, on average over the draws.
        answers: ``(draws, n) int64`` answers to all examples, none by a predictor that saw the
            example's group.
    """

    examples: int
    answers: NDArray[np.int64]


def learning_curve(
    problem: Problem, groups: Sequence[str], strategy: GroupLeaving, draws: int = DRAWS
) -> list[Point]:
    """Answers at growing sizes, the last of which is all examples.

    Sizes that leave fewer than one example per label on average are left out; so is everything
    after the deadline.

    Args:
        problem: All training examples; its encoder should hold their vectors.
        groups: Near-duplicate group of each example.
        strategy: What is fitted.
        draws: Draws per size, at least 1; the last size has one, as there is no other.
    """
    _, group_of = np.unique(np.asarray(groups), return_inverse=True)
    first = np.unique(group_of, return_index=True)[1]
    label_of_group = problem.y[first]
    points: list[Point] = []
    for share in (*SHARES, 1.0):
        if problem.deadline.passed or share * len(group_of) < max(len(problem.labels), 4):
            continue
        answers: list[NDArray[np.int64]] = []
        sizes: list[int] = []
        for draw in range(draws if share < 1.0 else 1):
            rng = np.random.default_rng([problem.seed, round(1000 * share), draw])
            inside = _drawn(rng, label_of_group, share)[group_of]
            if len(np.unique(problem.y[inside])) > 1:
                answers.append(_answers(problem, group_of, strategy, inside))
                sizes.append(int(inside.sum()))
        examples = round(float(np.mean(sizes))) if sizes else 0
        if sizes and (not points or examples > points[-1].examples):
            points.append(Point(examples, np.stack(answers)))
    return points


def _answers(
    problem: Problem,
    group_of: NDArray[np.int64],
    strategy: GroupLeaving,
    inside: NDArray[np.bool_],
) -> NDArray[np.int64]:
    rows = np.flatnonzero(inside)
    predictor, logits = strategy.leave_group_out(problem.take(rows), group_of[rows])
    answers = np.zeros(len(inside), np.int64)
    answers[rows] = logits.argmax(axis=1)
    rest = np.flatnonzero(~inside)
    if len(rest):
        texts = [problem.texts[i] for i in rest.tolist()]
        answers[rest] = predict(predictor, texts, problem.encoder).argmax(axis=1)
    return answers


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
