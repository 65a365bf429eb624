"""Candidates by how near their vectors are to that of the query: what a vector store does."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from milepost.entities.kinds import Kind
from milepost.models.pairs import cosine_at
from milepost.predictors.linear import LinearPredictor
from milepost.strategies.problems import encode
from milepost.strategies.ranking.fitting import line, no_order
from milepost.strategy import Problem


@dataclass(frozen=True, slots=True)
class Cosine:
    """The cosine of both vectors, and the odds of relevance that go with it."""

    name: ClassVar[str] = "cosine"
    kinds: ClassVar[tuple[Kind, ...]] = ("rank",)

    def supports(self, problem: Problem) -> str | None:
        """It needs a query with a relevant candidate and another one."""
        return no_order(problem)

    def fit(self, problem: Problem) -> LinearPredictor:
        """Fit the odds to the cosine, which stands in the vector of a pair."""
        vectors = encode(problem.encoder, problem.texts)
        problem.progress(0.5)
        at = cosine_at(vectors.shape[1])
        slope, bias = line(vectors[:, at].astype(np.float64), problem.y[:, 0] > 0)
        weights = np.zeros((1, vectors.shape[1]), np.float32)
        weights[0, at] = slope
        problem.progress(1.0)
        return LinearPredictor(
            labels=problem.labels,
            weights=weights,
            bias=np.array([bias], np.float32),
            link=problem.link,
        )
