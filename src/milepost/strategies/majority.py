"""The same answer always: what every other strategy has to beat."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from milepost.entities.kinds import Kind
from milepost.predictors.constant import ConstantPredictor
from milepost.strategy import Problem


@dataclass(frozen=True, slots=True)
class Majority:
    """The prior of the labels, smoothed; the mean of scores; no span.

    Attributes:
        smoothing: Pseudo-examples per label, > 0 (Laplace's rule at 1), so that a label without
            an example keeps a probability.
    """

    name: ClassVar[str] = "majority"
    images: ClassVar[bool] = True
    kinds: ClassVar[tuple[Kind, ...]] = (
        "classify", "extract", "match", "multilabel", "rank", "score",
    )  # fmt: skip

    smoothing: float = 0.5

    def __post_init__(self) -> None:
        if self.smoothing <= 0:
            raise ValueError("smoothing must be above 0")

    def supports(self, problem: Problem) -> str | None:
        """It can always answer; without examples all labels are equally likely."""
        return None

    def fit(self, problem: Problem) -> ConstantPredictor:
        """Count the labels."""
        if problem.link != "softmax":
            prior = self._apart(problem)
            problem.progress(1.0)
            return ConstantPredictor(labels=problem.labels, log_prior=prior, link=problem.link)
        counts = np.bincount(problem.y, minlength=len(problem.labels)) + self.smoothing
        problem.progress(1.0)
        return ConstantPredictor(labels=problem.labels, log_prior=np.log(counts / counts.sum()))

    def _apart(self, problem: Problem) -> NDArray[np.float64]:
        """Log odds of each label by itself, or the mean score."""
        if problem.link == "spans":
            return np.zeros(len(problem.labels))
        if problem.link == "identity":
            return np.array([float(problem.y.mean()) if len(problem.y) else 0.0])
        given = (problem.y[:, : len(problem.labels)] > 0).sum(axis=0) + self.smoothing
        return np.log(given / (len(problem.y) + 2.0 * self.smoothing - given))
