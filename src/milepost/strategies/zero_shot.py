"""The label whose name and description are closest to the text: needs no example."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from milepost.predictors.linear import LinearPredictor
from milepost.strategies.problems import label_examples
from milepost.strategy import Problem


@dataclass(frozen=True, slots=True)
class ZeroShot:
    """Cosine similarity of text and label (Yin et al. 2019, with a sentence encoder).

    Attributes:
        bandwidth: Difference of cosine similarity that changes the odds by a factor of e, > 0.
    """

    name: ClassVar[str] = "zero_shot"

    bandwidth: float = 0.05

    def __post_init__(self) -> None:
        if self.bandwidth <= 0:
            raise ValueError("bandwidth must be above 0")

    def supports(self, problem: Problem) -> str | None:
        """It always can: label names are enough."""
        return None

    def fit(self, problem: Problem) -> LinearPredictor:
        """Encode the labels; the examples are not looked at."""
        known = label_examples(problem)
        centres = np.zeros((len(problem.labels), known.vectors.shape[1]), np.float32)
        np.add.at(centres, known.y, known.vectors * known.weights[:, None])
        norms = np.linalg.norm(centres, axis=1, keepdims=True)
        problem.progress(1.0)
        return LinearPredictor(
            labels=problem.labels,
            weights=(centres / np.maximum(norms, 1e-12) / self.bandwidth).astype(np.float32),
            bias=np.zeros(len(problem.labels), np.float32),
        )
