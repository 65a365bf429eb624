"""What is fitted to candidates of queries: odds along a line, and weights by whole lists."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.entities.inputs import sides
from milepost.models.searching.lexical import Words
from milepost.strategy import Problem

Array = NDArray[np.float64]

_LEAST_SLOPE = 1e-3
_NEWTON = 50
_RIDGE = 1e-3


def no_order(problem: Problem) -> str | None:
    """The reason, as a sentence, why no order can be learned; else ``None``."""
    relevant = problem.y[:, 0] > 0
    _, query = np.unique(problem.y[:, 1], return_inverse=True)
    query = query.reshape(-1)
    both = (np.bincount(query, relevant) > 0) & (np.bincount(query, ~relevant) > 0)
    return None if both.any() else "No query has a relevant candidate and another one."


def words_of(problem: Problem) -> Words:
    """How rare words are among the candidates of a problem."""
    return Words.of(sides(text)[1] for text in problem.texts)


def line(scores: Array, relevant: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and height of the log odds of relevance by a score; the slope is above 0.

    Logistic regression (Cox 1958) with a faint ridge, by Newton's method on the score in units of
    its spread.

    Args:
        scores: ``(n,)``.
        relevant: ``(n,)``, what is relevant.
    """
    mean, spread = float(scores.mean()), float(scores.std()) or 1.0
    x = np.stack([(scores - mean) / spread, np.ones(len(scores))], axis=1)
    y, found = relevant.astype(np.float64), np.zeros(2)
    for _ in range(_NEWTON):
        p = 0.5 * (1.0 + np.tanh(0.5 * (x @ found)))
        slope = x.T @ (p - y) + _RIDGE * found
        bend = (x * (p * (1.0 - p))[:, None]).T @ x + _RIDGE * np.eye(2)
        step = np.linalg.solve(bend, slope)
        # A full step may leap where the odds are extreme.
        found -= step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
        if float(np.abs(step).max()) < 1e-8:
            break
    steep = max(float(found[0]), _LEAST_SLOPE) / spread
    return steep, float(found[1]) - steep * mean


@dataclass(frozen=True, slots=True, eq=False)
class Lists:
    """Candidates in lists, one for each query.

    Attributes:
        x: ``(n, d)`` features of each candidate, those of a list together; the products with them
            are as precise as they are.
        share: ``(n,)`` of each list's gain; those of a list add up to 1.
        starts: ``(q,)`` where each list begins.
    """

    x: NDArray[np.floating]
    share: Array
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, x: NDArray[np.floating], y: Array) -> "Lists":
        """The lists that teach an order: those with a relevant candidate and another one.

        Args:
            x: ``(n, d)`` features.
            y: ``(n, 2)`` relevance, and number of the query.
        """
        order = np.argsort(y[:, 1], kind="stable")
        gains, query = np.exp2(y[order, 0]) - 1.0, np.unique(y[order, 1], return_inverse=True)[1]
        query = query.reshape(-1)
        total, least = np.bincount(query, gains), np.full(int(query.max()) + 1, np.inf)
        np.minimum.at(least, query, gains)
        most = np.zeros(len(least))
        np.maximum.at(most, query, gains)
        kept = (most > least)[query]
        order, query, gains = order[kept], query[kept], gains[kept]
        starts = np.flatnonzero(np.diff(query, prepend=-1))
        return cls(x[order], gains / total[query], starts)

    def loss(self, weights: Array) -> tuple[float, Array]:
        """Mean cross entropy of the lists and its gradient (ListNet, Cao et al. 2007)."""
        scores = (self.x @ weights.astype(self.x.dtype)).astype(np.float64)
        sizes = np.diff(np.append(self.starts, len(scores)))
        scores -= np.repeat(np.maximum.reduceat(scores, self.starts), sizes)
        odds = np.exp(scores)
        sums = np.add.reduceat(odds, self.starts)
        count = len(self.starts)
        value = (float(np.log(sums).sum()) - float(self.share @ scores)) / count
        residual = odds / np.repeat(sums, sizes) - self.share
        return value, (residual.astype(self.x.dtype) @ self.x).astype(np.float64) / count

    def take(self, chosen: NDArray[np.bool_]) -> "Lists":
        """Some of the lists, ``(q,)``."""
        sizes = np.diff(np.append(self.starts, len(self.x)))
        rows, sizes = np.repeat(chosen, sizes), sizes[chosen]
        return Lists(self.x[rows], self.share[rows], np.cumsum(sizes) - sizes)


def fit_lists(lists: Lists, penalty: float, start: Array, steps: int) -> Array:
    """Weights ``(d,)`` with the lowest mean loss and half the penalty times their squares."""
    from scipy.optimize import minimize

    def objective(weights: Array) -> tuple[float, Array]:
        value, slope = lists.loss(weights)
        return value + 0.5 * penalty * float(weights @ weights), slope + penalty * weights

    return minimize(
        objective, start, jac=True, method="L-BFGS-B", options={"maxiter": steps, "maxcor": 10}
    ).x
