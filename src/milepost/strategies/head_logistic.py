"""Logistic regression on frozen vectors, with label names and descriptions as examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from milepost.entities.kinds import Kind
from milepost.predictors.linear import LinearPredictor
from milepost.strategies.problems import encode, label_examples, targets_of, too_little
from milepost.strategies.softmax_regression import Stop, Targets, fit_linear
from milepost.strategy import Problem

_FLOPS = 2e12
"""Floating-point work allowed for the steps of one fit: about half a minute of one core."""

_FEWEST_STEPS = 15


@dataclass(frozen=True, slots=True)
class HeadLogistic:
    """Logistic regression with an L2 penalty: multinomial, or of each label by itself.

    The defaults come from cross-validation on the training examples of several tasks, from 8 to
    900 examples per label: the log loss is flat around them, so that nothing is chosen per task.

    Attributes:
        c: Inverse strength of the L2 penalty, > 0.
        label_weight: How many examples a label's name and description count for together, >= 0.
        iterations: Most steps of the optimiser; fewer where one step is very much work.
    """

    name: ClassVar[str] = "head_logistic"
    images: ClassVar[bool] = True
    kinds: ClassVar[tuple[Kind, ...]] = ("classify", "match", "multilabel")
    space: ClassVar[Mapping[str, Sequence[object]]] = {
        "c": (0.3, 1.0, 3.0, 10.0, 30.0, 100.0),
        "label_weight": (0.0, 2.0, 8.0),
    }

    c: float = 10.0
    label_weight: float = 2.0
    iterations: int = 150

    def __post_init__(self) -> None:
        if not (0 < self.c < inf and 0 <= self.label_weight < inf and self.iterations >= 1):
            raise ValueError("c must be above 0, label_weight at least 0, iterations at least 1")

    def supports(self, problem: Problem) -> str | None:
        """It needs two labels with an example; where any number hold, one that does."""
        return too_little(problem)

    def fit(self, problem: Problem) -> LinearPredictor:
        """Encode examples and labels, and fit the linear model."""
        features, targets = self._examples(problem)
        problem.progress(0.3)
        n, d = features.shape
        affordable = max(_FEWEST_STEPS, int(_FLOPS / (4.0 * n * d * targets.columns)))
        fitted = fit_linear(
            features,
            targets,
            c=self.c,
            stop=Stop(min(self.iterations, affordable), deadline=problem.deadline),
            progress=lambda share: problem.progress(0.3 + 0.7 * share),
        )
        problem.progress(1.0)
        return LinearPredictor(
            labels=problem.labels,
            weights=np.ascontiguousarray(fitted.coefficients.T),
            bias=fitted.bias,
            link=problem.link,
        )

    def _examples(self, problem: Problem) -> tuple[NDArray[np.float32], Targets]:
        """Vectors of the examples, and of the labels' own texts where these say what is asked."""
        vectors = encode(problem.encoder, problem.texts)
        if problem.kind != "classify":
            return vectors, targets_of(problem)
        known = label_examples(problem)
        ones = np.ones(len(vectors), np.float32)
        weights = np.concatenate([ones, known.weights * np.float32(self.label_weight)])
        y = np.concatenate([problem.y, known.y])
        features = np.vstack([vectors, known.vectors])
        return features, Targets("softmax", y, len(problem.labels), weights)
