"""Ordinal logistic regression on frozen vectors: scores that are levels, such as stars."""

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from milepost.entities.kinds import Kind
from milepost.metrics.scoring.score_measures import qwk_parts
from milepost.predictors.ordinal import Answer, OrdinalPredictor, scores_of
from milepost.strategies.problems import encode
from milepost.strategy import Problem

Array = NDArray[np.float64]

FEWEST_LEVELS, MOST_LEVELS = 3, 20
"""Levels that a scale has: two are labels, and of many the steps between them say little."""

_FOLDS = 5


@dataclass(frozen=True, slots=True)
class HeadOrdinal:
    """One direction in which scores rise, and a cut between each two levels of them.

    The odds of a score above each level are proportional (McCullagh 1980). What is minimised is the
    sum over all cuts of the log loss of being above (the all-threshold loss of Rennie &
    Srebro 2005), which is convex, plus an L2 penalty of the direction. The scale is that of the
    training examples: steps between levels may differ, and no answer lies outside.

    Attributes:
        answer: Mean or median of the levels' distribution; ``None`` for the median, which is a
            level, where the task is judged by ``mae``, for that which agrees better on held-out
            folds where by ``qwk``, and for the mean otherwise.
        c: Inverse strengths of the penalty to choose from, each > 0: that with the lowest loss on
            held-out folds, where equal texts lie together.
        rows: Most examples that it is chosen on.
        iterations: Most steps of the optimiser, >= 1.
    """

    name: ClassVar[str] = "head_ordinal"
    images: ClassVar[bool] = True
    kinds: ClassVar[tuple[Kind, ...]] = ("score",)

    answer: Answer | None = None
    c: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
    rows: int = 1000
    iterations: int = 150

    def __post_init__(self) -> None:
        if not self.c or not all(0 < each < inf for each in self.c):
            raise ValueError("c must be above 0")
        if self.rows < 1 or self.iterations < 1:
            raise ValueError("rows and iterations must be at least 1")

    def supports(self, problem: Problem) -> str | None:
        """It needs a scale: 3 to 20 different scores."""
        found = len(np.unique(problem.y))
        if FEWEST_LEVELS <= found <= MOST_LEVELS:
            return None
        return (
            f"It needs scores on a scale of {FEWEST_LEVELS} to {MOST_LEVELS} levels, and "
            f"{found:,} different {'score was' if found == 1 else 'scores were'} found."
        )

    def fit(self, problem: Problem) -> OrdinalPredictor:
        """Choose the penalty, and fit direction and cuts."""
        x = encode(problem.encoder, problem.texts)
        problem.progress(0.2)
        y, centre = np.asarray(problem.y, np.float64), x.mean(axis=0)
        x = x - centre
        c, answer = self._chosen(problem, x, y)
        scale = _fitted(x, y, c, self.iterations)
        problem.progress(1.0)
        weights = scale.direction.astype(np.float32)
        return OrdinalPredictor(
            labels=problem.labels,
            weights=weights,
            cuts=scale.cuts + float(weights.astype(np.float64) @ centre),
            levels=scale.levels,
            answer=self.answer or answer,
            link=problem.link,
        )

    def _chosen(self, problem: Problem, x: NDArray[np.float32], y: Array) -> tuple[float, Answer]:
        """The strength that loses least on what is held out, and what is best answered."""
        by_distance: Answer = "median" if problem.metric == "mae" else "mean"
        some, fold_of = _folds(problem.texts, y, self.rows, problem.seed)
        if not fold_of.any():
            return self.c[len(self.c) // 2], by_distance
        x, y = x[some], y[some]
        lost, medians, means = (np.zeros((len(self.c), len(y))) for _ in range(3))
        for fold in range(_FOLDS):
            inside, scale = fold_of == fold, None
            for at, c in enumerate(self.c):
                scale = _fitted(x[~inside], y[~inside], c, self.iterations, begin=scale)
                above = _margins(x[inside], scale.direction, scale.cuts)
                lost[at, inside] = _losses(above, y[inside, None] > scale.levels[:-1])
                medians[at, inside] = scores_of(above, scale.levels, "median")
                means[at, inside] = scores_of(above, scale.levels, "mean")
            problem.progress(0.2 + 0.7 * (fold + 1) / _FOLDS)
        best = int(np.argmin(lost.sum(axis=1)))
        if problem.metric != "qwk":
            return self.c[best], by_distance
        better = qwk_parts(y, medians[best])[0] > qwk_parts(y, means[best])[0]
        return self.c[best], "median" if better else "mean"


@dataclass(frozen=True, slots=True, eq=False)
class _Scale:
    """A fitted model: direction ``(d,)``, cuts ``(m - 1,)`` and levels ``(m,)``."""

    direction: Array
    cuts: Array
    levels: Array


def _fitted(
    x: NDArray[np.float32], y: Array, c: float, iterations: int, begin: _Scale | None = None
) -> _Scale:
    """The model of centred vectors ``(n, d)``; ``begin`` is one of the same rows to start from."""
    from scipy.optimize import minimize

    levels, d = np.unique(y), x.shape[1]
    above = y[:, None] > levels[:-1]
    if begin is None:
        share = above.mean(axis=0)
        begin = _Scale(np.zeros(d), np.log((1.0 - share) / share), levels)

    def objective(point: Array) -> tuple[float, Array]:
        direction = point[:d]
        margins = _margins(x, direction, point[d:])
        value = float(_losses(margins, above).sum()) + float(direction @ direction) / (2.0 * c)
        too_high = 0.5 * (1.0 + np.tanh(0.5 * margins)) - above
        gradient = np.empty_like(point)
        gradient[:d] = x.T @ too_high.sum(axis=1).astype(np.float32) + direction / c
        gradient[d:] = -too_high.sum(axis=0)
        return value / len(y), gradient / len(y)

    found = minimize(
        objective,
        np.concatenate([begin.direction, begin.cuts]),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": iterations, "ftol": 1e-8, "gtol": 1e-5},
    ).x
    # At the minimum they ascend: as many examples are thought above each as are.
    return _Scale(found[:d], np.maximum.accumulate(found[d:]), levels)


def _margins(x: NDArray[np.float32], direction: Array, cuts: Array) -> Array:
    """Log odds ``(n, m - 1)`` of being above each cut."""
    return (x @ direction.astype(np.float32)).astype(np.float64)[:, None] - cuts


def _losses(margins: Array, above: NDArray[np.bool_]) -> Array:
    """Log loss of each row, ``(n,)``, summed over all cuts."""
    return (np.logaddexp(0.0, margins) - margins * above).sum(axis=1)


def _folds(
    texts: tuple[str, ...], y: Array, most: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows that are looked at, ``(s,)``, and the fold of each.

    Equal texts lie in one fold, and each fold has its share of all levels.
    """
    rng = np.random.default_rng(seed)
    some = np.sort(rng.permutation(len(texts))[:most])
    place: dict[str, int] = {}
    text = np.array([place.setdefault(texts[row], len(place)) for row in some.tolist()], np.int64)
    score = np.zeros(len(place))
    score[text] = y[some]
    fold = np.empty(len(place), np.int64)
    fold[np.lexsort((rng.random(len(place)), score))] = np.arange(len(place)) % _FOLDS
    return some, fold[text]
