"""A head that orders candidates by their vectors and their words together."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from milepost.entities.inputs import sides
from milepost.entities.kinds import Kind
from milepost.models.pairs import cosine_at
from milepost.predictors.ranking import BY_WORDS, Ranker
from milepost.strategies.problems import encode
from milepost.strategies.ranking.fitting import Lists, fit_lists, line, no_order, words_of
from milepost.strategy import Problem

Array = NDArray[np.float64]

_FOLDS = 3


@dataclass(frozen=True, slots=True)
class HeadRank:
    """Linear in the vector of the pair and in BM25, fitted to whole lists (ListNet).

    What few numbers say, such as cosine, BM25 and likenesses, is weighed freely; what each
    dimension of the vectors says is held back by the penalty, which queries that are left out
    choose.

    Attributes:
        penalties: Values to choose from, each > 0.
        dimensions: Weight of what single dimensions say before anything is known, >= 0; 0 leaves
            them out.
        rows: Most candidates that are learned from; whole queries are drawn, by the seed.
        steps: Most steps of a fit.
    """

    name: ClassVar[str] = "head_rank"
    kinds: ClassVar[tuple[Kind, ...]] = ("rank",)

    penalties: tuple[float, ...] = (0.3, 0.1, 0.03, 0.01)
    dimensions: float = 1.0
    rows: int = 20_000
    steps: int = 60

    def __post_init__(self) -> None:
        if not self.penalties or min(self.penalties) <= 0:
            raise ValueError("penalties must be above 0")
        if self.dimensions < 0 or min(self.rows, self.steps) < 1:
            raise ValueError("dimensions must be at least 0, rows and steps at least 1")

    def supports(self, problem: Problem) -> str | None:
        """It needs a query with a relevant candidate and another one."""
        return no_order(problem)

    def fit(self, problem: Problem) -> Ranker:
        """Choose the penalty on queries left out, fit all, and fit the odds to the outcome."""
        problem = self._drawn(problem)
        words = words_of(problem)
        vectors = encode(problem.encoder, problem.texts)
        problem.progress(0.3)
        by_words = words.pairs([sides(text) for text in problem.texts])
        scale = self._scales(vectors, by_words)
        x = np.concatenate([vectors.astype(np.float64), by_words], axis=1) * scale
        lists = Lists.of(x.astype(np.float32), problem.y)
        weights = self._weights(lists, problem)
        slope, bias = line(x @ weights, problem.y[:, 0] > 0)
        found = slope * weights * scale
        problem.progress(1.0)
        return Ranker(
            labels=problem.labels,
            words=words,
            weights=found[:-BY_WORDS].astype(np.float32),
            by_words=found[-BY_WORDS:],
            bias=bias,
            link=problem.link,
        )

    def _drawn(self, problem: Problem) -> Problem:
        """The problem with whole queries up to the most rows."""
        if len(problem.y) <= self.rows:
            return problem
        _, query, sizes = np.unique(problem.y[:, 1], return_inverse=True, return_counts=True)
        order = np.random.default_rng(problem.seed).permutation(len(sizes))
        kept = np.zeros(len(sizes), np.bool_)
        kept[order[: max(1, int((np.cumsum(sizes[order]) <= self.rows).sum()))]] = True
        return problem.take(np.flatnonzero(kept[query.reshape(-1)]))

    def _scales(self, vectors: NDArray[np.float32], by_words: Array) -> Array:
        """What features are multiplied by: few numbers in units of their spread, ``(d + 2,)``."""
        wide = cosine_at(vectors.shape[1])
        few = np.concatenate([vectors[:, wide:].astype(np.float64), by_words], axis=1)
        spread = few.std(axis=0)
        scale = np.ones(vectors.shape[1] + BY_WORDS)
        scale[:wide] = self.dimensions
        scale[wide:] = np.where(spread > 1e-6, 1.0 / np.maximum(spread, 1e-6), 0.0)
        return scale

    def _weights(self, lists: Lists, problem: Problem) -> Array:
        """The weights at the penalty that is best for queries left out."""
        count = len(lists.starts)
        fold = np.random.default_rng(problem.seed).permutation(count) % _FOLDS
        zero = np.zeros(lists.x.shape[1])
        if count < 2 * _FOLDS:
            return fit_lists(lists, self.penalties[0], zero, self.steps)
        losses = np.zeros(len(self.penalties))
        for out in range(_FOLDS):
            inside, outside = lists.take(fold != out), lists.take(fold == out)
            weights = zero
            for at, penalty in enumerate(self.penalties):
                weights = fit_lists(inside, penalty, weights, self.steps)
                losses[at] += outside.loss(weights)[0]
            problem.progress(0.3 + 0.6 * (out + 1) / (_FOLDS + 1))
        best = self.penalties[int(losses.argmin())]
        return fit_lists(lists, best, zero, self.steps)
