"""Candidates by their words alone: what a search engine does without a model."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from milepost.entities.inputs import sides
from milepost.entities.kinds import Kind
from milepost.predictors.ranking import WordRanker
from milepost.strategies.ranking.fitting import line, no_order, words_of
from milepost.strategy import Problem


@dataclass(frozen=True, slots=True)
class Bm25:
    """BM25 (Robertson et al. 1994), and the odds of relevance that go with it.

    The order of the candidates of a query is that of BM25; only the odds are learned.
    """

    name: ClassVar[str] = "bm25"
    kinds: ClassVar[tuple[Kind, ...]] = ("rank",)

    def supports(self, problem: Problem) -> str | None:
        """It needs a query with a relevant candidate and another one."""
        return no_order(problem)

    def fit(self, problem: Problem) -> WordRanker:
        """Count words, and fit the odds to the share of the most that BM25 can be."""
        words = words_of(problem)
        shares = words.pairs([sides(text) for text in problem.texts])[:, 1]
        problem.progress(0.5)
        slope, bias = line(shares, problem.y[:, 0] > 0)
        problem.progress(1.0)
        return WordRanker(
            labels=problem.labels,
            words=words,
            by_words=np.array([0.0, slope]),
            bias=bias,
            link=problem.link,
        )
