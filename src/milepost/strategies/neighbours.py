"""The nearest examples vote; how many, and how steeply, is chosen by leaving each one out."""

import itertools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from milepost.predictors.neighbours import NeighboursPredictor, vote_logits
from milepost.strategies.problems import encode, too_few_labels
from milepost.strategies.tempered import tempered_log_loss
from milepost.strategy import Problem


@dataclass(frozen=True, slots=True)
class Neighbours:
    """k nearest neighbours with an exponential kernel, on frozen vectors.

    Attributes:
        counts: Numbers of neighbours to choose from, each at least 1.
        bandwidths: Kernel bandwidths (cosine similarity) to choose from, each > 0.
        smoothing: Share of probability spread over all labels, in (0, 1).
        queries: Most examples left out, one at a time, to choose.
    """

    name: ClassVar[str] = "neighbours"

    counts: tuple[int, ...] = (3, 5, 10, 20, 40)
    bandwidths: tuple[float, ...] = (0.03, 0.06, 0.12)
    smoothing: float = 0.02
    queries: int = 500

    def __post_init__(self) -> None:
        if not self.counts or min(self.counts) < 1:
            raise ValueError("counts must be at least 1")
        if not self.bandwidths or min(self.bandwidths) <= 0:
            raise ValueError("bandwidths must be above 0")
        if not 0 < self.smoothing < 1 or self.queries < 1:
            raise ValueError("smoothing must lie in (0, 1), and queries be at least 1")

    def supports(self, problem: Problem) -> str | None:
        """It needs two labels with an example."""
        return too_few_labels(problem)

    def fit(self, problem: Problem) -> NeighboursPredictor:
        """Store the vectors, and choose count and bandwidth."""
        vectors = encode(problem.encoder, problem.texts)
        problem.progress(0.5)
        count, bandwidth = self._choose(vectors, problem)
        problem.progress(1.0)
        return NeighboursPredictor(
            labels=problem.labels,
            vectors=vectors,
            y=problem.y.copy(),
            neighbours=count,
            bandwidth=bandwidth,
            smoothing=self.smoothing,
        )

    def _choose(self, stored: NDArray[np.float32], problem: Problem) -> tuple[int, float]:
        """The pair with the lowest leave-one-out log loss at its best temperature."""
        y = problem.y
        rows = np.arange(len(y))
        if len(y) > self.queries:
            rows = np.random.default_rng(problem.seed).choice(len(y), self.queries, replace=False)
        similarities = stored[rows] @ stored.T
        similarities[np.arange(len(rows)), rows] = -np.inf
        best = (np.inf, self.counts[0], self.bandwidths[0])
        for count, bandwidth in itertools.product(self.counts, self.bandwidths):
            logits = vote_logits(
                similarities,
                y,
                labels=len(problem.labels),
                neighbours=count,
                bandwidth=bandwidth,
                smoothing=self.smoothing,
            )
            loss, _ = tempered_log_loss(logits, y[rows])
            best = min(best, (loss, count, bandwidth))
        return best[1], best[2]
