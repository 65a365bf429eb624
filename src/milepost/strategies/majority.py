"""Always the most frequent label: what every other strategy has to beat."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from milepost.predictors.constant import ConstantPredictor
from milepost.strategy import Problem


@dataclass(frozen=True, slots=True)
class Majority:
    """The prior of the labels, smoothed.

    Attributes:
        smoothing: Pseudo-examples per label, > 0 (Laplace's rule at 1), so that a label without
            an example keeps a probability.
    """

    name: ClassVar[str] = "majority"

    smoothing: float = 0.5

    def __post_init__(self) -> None:
        if self.smoothing <= 0:
            raise ValueError("smoothing must be above 0")

    def supports(self, problem: Problem) -> str | None:
        """It can always answer; without examples all labels are equally likely."""
        return None

    def fit(self, problem: Problem) -> ConstantPredictor:
        """Count the labels."""
        counts = np.bincount(problem.y, minlength=len(problem.labels)) + self.smoothing
        problem.progress(1.0)
        return ConstantPredictor(labels=problem.labels, log_prior=np.log(counts / counts.sum()))
