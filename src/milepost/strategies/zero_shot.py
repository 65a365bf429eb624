"""The label whose name and description are closest to the text: needs no example."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from milepost.entities.kinds import Kind
from milepost.entities.prediction import linked
from milepost.models.images.trunk import in_one_space
from milepost.predictors.linear import LinearPredictor
from milepost.strategies.problems import encode, label_examples
from milepost.strategy import Problem


@dataclass(frozen=True, slots=True)
class ZeroShot:
    """Cosine similarity of text and label (Yin et al. 2019, with a sentence encoder).

    Where any number of labels may hold, one bias for all of them makes as many hold on average as
    hold for the examples; of which labels these are it learns nothing.

    Attributes:
        bandwidth: Difference of cosine similarity that changes the odds by a factor of e, > 0.
    """

    name: ClassVar[str] = "zero_shot"
    images: ClassVar[bool] = True
    kinds: ClassVar[tuple[Kind, ...]] = ("classify", "multilabel")

    bandwidth: float = 0.05

    def __post_init__(self) -> None:
        if self.bandwidth <= 0:
            raise ValueError("bandwidth must be above 0")

    def supports(self, problem: Problem) -> str | None:
        """It can wherever label names and inputs are read by one encoder."""
        if problem.images and not in_one_space(problem.encoder):
            return "The encoder reads images only, so that no label in words can be near one."
        return None

    def fit(self, problem: Problem) -> LinearPredictor:
        """Encode the labels; the labels of the examples are not looked at."""
        known = label_examples(problem)
        centres = np.zeros((len(problem.labels), known.vectors.shape[1]), np.float32)
        np.add.at(centres, known.y, known.vectors * known.weights[:, None])
        norms = np.linalg.norm(centres, axis=1, keepdims=True)
        weights = (centres / np.maximum(norms, 1e-12) / self.bandwidth).astype(np.float32)
        bias = np.zeros(len(problem.labels), np.float32)
        if problem.link == "sigmoid" and len(problem.texts):
            given = (problem.y[:, : len(problem.labels)] > 0).mean()
            bias += _level(encode(problem.encoder, problem.texts) @ weights.T, float(given))
        problem.progress(1.0)
        return LinearPredictor(labels=problem.labels, weights=weights, bias=bias, link=problem.link)


def _level(logits: NDArray[np.float32], share: float) -> np.float32:
    """What makes the mean of the logistic function of all logits a share in (0, 1)."""
    wanted = min(max(share, 1.0 / (logits.size + 1)), logits.size / (logits.size + 1))
    low, high = -float(logits.max()) - 40.0, -float(logits.min()) + 40.0
    for _ in range(60):
        middle = (low + high) / 2.0
        if float(linked("sigmoid", logits.astype(np.float64) + middle).mean()) < wanted:
            low = middle
        else:
            high = middle
    return np.float32((low + high) / 2.0)
