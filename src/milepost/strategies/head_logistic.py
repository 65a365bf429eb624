"""Logistic regression on frozen vectors, with label names and descriptions as examples."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from milepost.predictors.linear import LinearPredictor
from milepost.strategies.problems import encode, label_examples, too_few_labels
from milepost.strategies.softmax_regression import Stop, fit_softmax
from milepost.strategy import Problem

_FLOPS = 2e12
"""Floating-point work allowed for the steps of one fit: about half a minute of one core."""

_FEWEST_STEPS = 15


@dataclass(frozen=True, slots=True)
class HeadLogistic:
    """Multinomial logistic regression with an L2 penalty.

    The defaults come from cross-validation on the training examples of several tasks, from 8 to
    900 examples per label: the log loss is flat around them, so that nothing is chosen per task.

    Attributes:
        c: Inverse strength of the L2 penalty, > 0.
        label_weight: How many examples a label's name and description count for together, >= 0.
        iterations: Most steps of the optimiser; fewer where one step is very much work.
    """

    name: ClassVar[str] = "head_logistic"

    c: float = 10.0
    label_weight: float = 2.0
    iterations: int = 150

    def __post_init__(self) -> None:
        if self.c <= 0 or self.label_weight < 0 or self.iterations < 1:
            raise ValueError("c must be above 0, label_weight at least 0, iterations at least 1")

    def supports(self, problem: Problem) -> str | None:
        """It needs two labels with an example."""
        return too_few_labels(problem)

    def fit(self, problem: Problem) -> LinearPredictor:
        """Encode examples and labels, and fit the linear model."""
        vectors = encode(problem.encoder, problem.texts)
        known = label_examples(problem)
        problem.progress(0.3)
        features = np.vstack([vectors, known.vectors])
        weights = np.concatenate(
            [np.ones(len(vectors), np.float32), known.weights * np.float32(self.label_weight)]
        )
        k, (n, d) = len(problem.labels), features.shape
        affordable = max(_FEWEST_STEPS, int(_FLOPS / (4.0 * n * d * k)))
        fitted = fit_softmax(
            features,
            np.concatenate([problem.y, known.y]),
            k,
            c=self.c,
            weights=weights,
            stop=Stop(min(self.iterations, affordable), deadline=problem.deadline),
            progress=lambda share: problem.progress(0.3 + 0.7 * share),
        )
        problem.progress(1.0)
        return LinearPredictor(
            labels=problem.labels,
            weights=np.ascontiguousarray(fitted.coefficients.T),
            bias=fitted.bias,
        )
