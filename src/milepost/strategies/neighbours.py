"""The nearest examples vote; how many, and how steeply, is chosen by leaving each one out."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from milepost.entities.kinds import Kind, Link
from milepost.entities.prediction import linked
from milepost.metrics.scoring.links import fit_scale, loss_rows
from milepost.predictors.neighbours import NeighboursPredictor, votes_of
from milepost.strategies.problems import encode, too_little
from milepost.strategies.tempered import tempered_log_loss
from milepost.strategy import Problem


@dataclass(frozen=True, slots=True)
class Neighbours:
    """k nearest neighbours with an exponential kernel, on frozen vectors.

    They vote on one label, on each of any number, or their scores are averaged.

    Attributes:
        counts: Numbers of neighbours to choose from, each at least 1.
        bandwidths: Kernel bandwidths (cosine similarity) to choose from, each > 0.
        smoothing: Share of probability spread over all labels, in (0, 1).
        queries: Most examples left out, one at a time, to choose.
    """

    name: ClassVar[str] = "neighbours"
    images: ClassVar[bool] = True
    kinds: ClassVar[tuple[Kind, ...]] = ("classify", "match", "multilabel", "score")
    space: ClassVar[Mapping[str, Sequence[object]]] = {"smoothing": (0.02, 0.05, 0.1, 0.2)}

    counts: tuple[int, ...] = (3, 5, 10, 20, 40)
    bandwidths: tuple[float, ...] = (0.03, 0.06, 0.12)
    smoothing: float = 0.02
    queries: int = 500

    def __post_init__(self) -> None:
        if not self.counts or min(self.counts) < 1:
            raise ValueError("counts must be at least 1")
        if not self.bandwidths or not all(0 < each < inf for each in self.bandwidths):
            raise ValueError("bandwidths must be above 0")
        if not 0 < self.smoothing < 1 or self.queries < 1:
            raise ValueError("smoothing must lie in (0, 1), and queries be at least 1")

    def supports(self, problem: Problem) -> str | None:
        """It needs something to tell apart."""
        return too_little(problem)

    def fit(self, problem: Problem) -> NeighboursPredictor:
        """Store the vectors, and choose count and bandwidth."""
        vectors = encode(problem.encoder, problem.texts)
        problem.progress(0.5)
        count, bandwidth = self._choose(vectors, problem)
        problem.progress(1.0)
        return NeighboursPredictor(
            labels=problem.labels,
            vectors=vectors,
            y=_stored(problem),
            neighbours=count,
            bandwidth=bandwidth,
            smoothing=self.smoothing,
            link=problem.link,
        )

    def _choose(self, stored: NDArray[np.float32], problem: Problem) -> tuple[int, float]:
        """The pair that loses least, leaving each example out, at its best temperature."""
        y, stored_y = problem.y, _stored(problem)
        rows = np.arange(len(y))
        if len(y) > self.queries:
            rows = np.random.default_rng(problem.seed).choice(len(y), self.queries, replace=False)
        similarities = stored[rows] @ stored.T
        similarities[np.arange(len(rows)), rows] = -np.inf
        best = (np.inf, self.counts[0], self.bandwidths[0])
        for count, bandwidth in itertools.product(self.counts, self.bandwidths):
            logits = votes_of(
                problem.link,
                similarities,
                stored_y,
                labels=len(problem.labels),
                neighbours=count,
                bandwidth=bandwidth,
                smoothing=self.smoothing,
            )
            loss = _loss(problem.link, logits, y[rows])
            best = min(best, (loss, count, bandwidth))
        return best[1], best[2]


def _stored(problem: Problem) -> NDArray[Any]:
    """The truths as the predictor keeps them."""
    if problem.link == "softmax":
        return problem.y.copy()
    if problem.link == "sigmoid":
        return (problem.y[:, : len(problem.labels)] > 0).astype(np.float32)
    return problem.y.astype(np.float32)[:, None]


def _loss(link: Link, numbers: NDArray[np.float64], y: NDArray[Any]) -> float:
    """What numbers lose at their best temperature, on average."""
    if link == "softmax":
        return tempered_log_loss(numbers, y)[0]
    return float(loss_rows(link, y, linked(link, numbers / fit_scale(link, numbers, y))).mean())
