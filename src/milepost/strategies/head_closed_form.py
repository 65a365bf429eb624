"""A linear discriminant in closed form: fits in milliseconds, learns and unlearns exactly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from milepost.predictors.linear import LinearPredictor
from milepost.strategies.discriminant import ClassStatistics, Discriminant
from milepost.strategies.incremental import SolvedDiscriminant
from milepost.strategies.problems import encode, label_examples, too_few_labels
from milepost.strategies.tempered import tempered_log_loss
from milepost.strategy import Problem


@dataclass(frozen=True, slots=True)
class HeadClosedForm:
    """Shrinkage discriminant on frozen vectors, with names and descriptions as examples.

    The shrinkage is the one with the lowest exact leave-one-out log loss, at its best
    temperature, which is then part of the weights.

    Attributes:
        shrinkages: Values to choose from, each > 0; see ``Discriminant``.
        label_weight: How many examples a label's name and description count for together, > 0;
            it also gives a label without an example its place.
        left_out: Most examples left out, one at a time, to choose the shrinkage.
    """

    name: ClassVar[str] = "head_closed_form"
    images: ClassVar[bool] = True
    space: ClassVar[Mapping[str, Sequence[object]]] = {"label_weight": (0.5, 1.0, 2.0, 4.0, 8.0)}

    shrinkages: tuple[float, ...] = (0.1, 0.5, 2.0, 10.0, 50.0)
    label_weight: float = 2.0
    left_out: int = 500

    def __post_init__(self) -> None:
        if not self.shrinkages or not all(0 < each < inf for each in self.shrinkages):
            raise ValueError("shrinkages must be above 0")
        if not 0 < self.label_weight < inf or self.left_out < 1:
            raise ValueError("label_weight must be above 0, left_out at least 1")

    def supports(self, problem: Problem) -> str | None:
        """It needs two labels with an example."""
        return too_few_labels(problem)

    def fit(self, problem: Problem) -> LinearPredictor:
        """Gather the statistics, choose the shrinkage, solve."""
        vectors = encode(problem.encoder, problem.texts)
        problem.progress(0.5)
        prior = self.label_statistics(problem)
        own = ClassStatistics.of(vectors, problem.y, len(problem.labels))
        fitted = self.solve(problem, own.merge(prior), vectors, problem.y)
        problem.progress(1.0)
        return fitted

    def fit_folds(self, problem: Problem, folds: NDArray[np.int64]) -> list[LinearPredictor]:
        """A predictor per fold, fitted without it: equal to refits, at the cost of the solves.

        Args:
            problem: All examples.
            folds: ``(n,) int64`` fold of each example, from 0.
        """
        vectors = encode(problem.encoder, problem.texts)
        k, count = len(problem.labels), int(folds.max(initial=-1)) + 1
        parts = [
            ClassStatistics.of(vectors[folds == f], problem.y[folds == f], k) for f in range(count)
        ]
        total = self.label_statistics(problem)
        for part in parts:
            total = total.merge(part)
        fitted: list[LinearPredictor] = []
        for fold, part in enumerate(parts):
            kept = folds != fold
            fitted.append(self.solve(problem, total.subtract(part), vectors[kept], problem.y[kept]))
            problem.progress((fold + 1) / count)
        return fitted

    def leave_group_out(
        self, problem: Problem, groups: NDArray[np.int64]
    ) -> tuple[LinearPredictor, NDArray[np.float64]]:
        """The predictor of all examples, and each example's logits from one without its group.

        Equal to refitting without the group, but that shrinkage and temperature, two numbers, are
        those chosen on all examples.

        Args:
            problem: All examples.
            groups: ``(n,) int64`` near-duplicate group of each example.

        Returns:
            The predictor, and logits ``(n, k) float64`` at its temperature.
        """
        vectors = encode(problem.encoder, problem.texts)
        own = ClassStatistics.of(vectors, problem.y, len(problem.labels))
        discriminant = Discriminant(own.merge(self.label_statistics(problem)))
        shrinkage, temperature = self._choose(discriminant, vectors, problem.y, problem.seed)
        logits = discriminant.leave_group_out(vectors, problem.y, groups, shrinkage)
        problem.progress(1.0)
        return self._at(problem, discriminant, shrinkage, temperature), logits / temperature

    def statistics(self, problem: Problem) -> ClassStatistics:
        """Statistics of the examples and of the labels' own texts: all that ``fit`` rests on."""
        vectors = encode(problem.encoder, problem.texts)
        own = ClassStatistics.of(vectors, problem.y, len(problem.labels))
        return own.merge(self.label_statistics(problem))

    def chosen(self, problem: Problem) -> tuple[float, float]:
        """The shrinkage and the temperature that ``fit`` chooses."""
        vectors = encode(problem.encoder, problem.texts)
        discriminant = Discriminant(self.statistics(problem))
        return self._choose(discriminant, vectors, problem.y, problem.seed)

    def solved(self, problem: Problem, shrinkage: float) -> SolvedDiscriminant:
        """What ``fit`` solves at a shrinkage, ready to change."""
        return SolvedDiscriminant.of(self.statistics(problem), shrinkage)

    def label_statistics(self, problem: Problem) -> ClassStatistics:
        """Statistics of the label names and descriptions alone."""
        known = label_examples(problem)
        weights = known.weights * self.label_weight
        return ClassStatistics.of(known.vectors, known.y, len(problem.labels), weights)

    def solve(
        self,
        problem: Problem,
        statistics: ClassStatistics,
        vectors: NDArray[np.float32],
        y: NDArray[np.int64],
    ) -> LinearPredictor:
        """The predictor of statistics; after an update of them nothing else is needed.

        Args:
            problem: Gives labels and seed.
            statistics: Of the examples and the labels' own texts.
            vectors: ``(n, d) float32`` examples within the statistics to choose on.
            y: ``(n,) int64`` their labels.
        """
        discriminant = Discriminant(statistics)
        shrinkage, temperature = self._choose(discriminant, vectors, y, problem.seed)
        return self._at(problem, discriminant, shrinkage, temperature)

    def _at(
        self, problem: Problem, discriminant: Discriminant, shrinkage: float, temperature: float
    ) -> LinearPredictor:
        coefficients, bias = discriminant.linear(shrinkage)
        return LinearPredictor(
            labels=problem.labels,
            weights=(coefficients / temperature).astype(np.float32),
            bias=(bias / temperature).astype(np.float32),
        )

    def _choose(
        self,
        discriminant: Discriminant,
        vectors: NDArray[np.float32],
        y: NDArray[np.int64],
        seed: int,
    ) -> tuple[float, float]:
        """Shrinkage with the lowest leave-one-out log loss, and its temperature."""
        if not len(y):
            return max(self.shrinkages), 1.0
        if len(y) > self.left_out:
            rows = np.random.default_rng(seed).choice(len(y), self.left_out, replace=False)
            vectors, y = vectors[rows], y[rows]
        best = (np.inf, 0.0, 1.0)
        for shrinkage in self.shrinkages:
            logits = discriminant.leave_one_out(vectors, y, shrinkage)
            loss, temperature = tempered_log_loss(logits, y)
            best = min(best, (loss, shrinkage, temperature))
        return best[1], best[2]
