"""A solved ridge regression that takes single examples in and out without solving anew.

It knows nothing of tasks or texts, and gives what a fit on the same examples at the same penalty
gives, up to rounding.
"""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from milepost.strategies.incremental import SOLVE_EVERY

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SolvedRidge:
    """Least squares with an intercept and an L2 penalty α, ready to change. Immutable.

    With scatter S around the mean m it holds the inverse of ``S + α I``. An example x that comes
    (w = 1) or goes (w = -1) changes S by ``w n / (n + w) (x - m)(x - m)'`` (Welford 1962), and the
    inverse by the rank-one formula of Sherman and Morrison (1950).

    Attributes:
        columns: Numbers ``k`` that are fitted: one of a score, one per label.
        count: Examples, ≥ 2.
        total: ``(d,)`` sum of the vectors.
        outer: ``(d, d)`` sum of their outer products.
        products: ``(d, k)`` sum of the products of vectors and targets.
        level: ``(k,)`` sum of the targets.
        penalty: α, > 0.
        inverse: ``(d, d)``.
        changes: Single changes since it was solved.
    """

    columns: int
    count: int
    total: Array
    outer: Array
    products: Array
    level: Array
    penalty: float
    inverse: Array
    changes: int = 0

    @classmethod
    def of(
        cls, vectors: NDArray[np.floating], y: NDArray[Any], columns: int, penalty: float
    ) -> Self:
        """Solve from examples.

        Args:
            vectors: ``(n, d)``.
            y: ``(n,)`` scores, or ``(n, ≥ k)``, above 0 where a label holds.
            columns: ``k``.
            penalty: α, > 0.

        Raises:
            ValueError: If there are fewer than two, or the penalty is not above 0.
        """
        if len(vectors) < 2 or not penalty > 0:
            raise ValueError("It needs two examples and a penalty above 0.")
        x, targets = np.asarray(vectors, np.float64), targets_in(y, columns)
        empty = np.zeros((0, 0))
        return cls(
            columns=columns,
            count=len(x),
            total=x.sum(axis=0),
            outer=x.T @ x,
            products=x.T @ targets,
            level=targets.sum(axis=0),
            penalty=penalty,
            inverse=empty,
        )._solved()

    def with_example(self, vector: NDArray[np.floating], truth: Any, /) -> Self:
        """With one more example ``(d,)`` and its truth, a score or which labels hold."""
        return self._changed(vector, truth, 1)

    def without_example(self, vector: NDArray[np.floating], truth: Any, /) -> Self:
        """Without an example ``(d,)`` that is part of it.

        Raises:
            ValueError: If fewer than two would be left.
        """
        return self._changed(vector, truth, -1)

    def without(self, vectors: NDArray[np.floating], y: NDArray[Any], /) -> Self:
        """Without several examples that are part of it; solved anew.

        Raises:
            ValueError: If fewer than two would be left.
        """
        if self.count - len(vectors) < 2:
            raise ValueError("Fewer than two examples would be left.")
        x, targets = np.asarray(vectors, np.float64), targets_in(y, self.columns)
        return replace(
            self,
            count=self.count - len(x),
            total=self.total - x.sum(axis=0),
            outer=self.outer - x.T @ x,
            products=self.products - x.T @ targets,
            level=self.level - targets.sum(axis=0),
        )._solved()

    def linear(self) -> tuple[Array, Array]:
        """Coefficients ``(k, d)`` and bias ``(k,)`` of the fitted numbers."""
        mean, level = self.total / self.count, self.level / self.count
        coefficients = self.inverse @ (self.products - np.outer(self.total, level))
        return coefficients.T, level - mean @ coefficients

    def leave_one_out(self, vectors: NDArray[np.floating], y: NDArray[Any], /) -> Array:
        """Fitted numbers ``(n, k)`` of examples that are part of it, each without it (Allen 1974).

        Args:
            vectors: ``(n, d)``.
            y: Their truths.
        """
        coefficients, bias = self.linear()
        x, targets = np.asarray(vectors, np.float64), targets_in(y, self.columns)
        centred = x - self.total / self.count
        leverage = np.einsum("nd,nd->n", centred @ self.inverse, centred) + 1.0 / self.count
        off = targets - (x @ coefficients.T + bias)
        return targets - off / np.maximum(1.0 - leverage, 1e-6)[:, None]

    def leave_group_out(
        self, vectors: NDArray[np.floating], y: NDArray[Any], groups: NDArray[np.int64]
    ) -> Array:
        """Fitted numbers ``(n, k)`` of all its examples, each without those of its group.

        As ``leave_one_out`` with the block of the hat matrix that belongs to the group.

        Args:
            vectors: ``(n, d)``.
            y: Their truths.
            groups: ``(n,) int64``.
        """
        coefficients, bias = self.linear()
        x, targets = np.asarray(vectors, np.float64), targets_in(y, self.columns)
        centred = x - self.total / self.count
        turned = centred @ self.inverse
        off = targets - (x @ coefficients.T + bias)
        found = np.zeros_like(targets)
        order = np.argsort(groups, kind="stable")
        _, starts = np.unique(groups[order], return_index=True)
        for rows in np.split(order, starts[1:]):
            hat = turned[rows] @ centred[rows].T + 1.0 / self.count
            left = np.linalg.solve(np.eye(len(rows)) * (1.0 + 1e-9) - hat, off[rows])
            found[rows] = targets[rows] - left
        return found

    def spare(self, y: NDArray[Any], /) -> NDArray[np.bool_]:
        """Which of ``n`` examples can be left out, ``(n,)``: all, while there are three."""
        return np.full(len(y), self.count > 2)

    def _solved(self) -> Self:
        mean = self.total / self.count
        scatter = self.outer - np.outer(self.total, mean)
        regular = (scatter + scatter.T) / 2.0 + self.penalty * np.eye(len(scatter))
        inverse = np.linalg.inv(regular)
        return replace(self, inverse=(inverse + inverse.T) / 2.0, changes=0)

    def _changed(self, vector: NDArray[np.floating], truth: Any, weight: int) -> Self:
        if self.count + weight < 2:
            raise ValueError("Fewer than two examples would be left.")
        x = np.asarray(vector, np.float64)
        target = targets_in(np.asarray(truth)[None], self.columns)[0]
        off = x - self.total / self.count
        turned = self.inverse @ off
        grows = weight * self.count / (self.count + weight)
        gain = grows / (1.0 + grows * float(off @ turned))
        changed = replace(
            self,
            count=self.count + weight,
            total=self.total + weight * x,
            outer=self.outer + weight * np.outer(x, x),
            products=self.products + weight * np.outer(x, target),
            level=self.level + weight * target,
            inverse=self.inverse - gain * np.outer(turned, turned),
            changes=self.changes + 1,
        )
        return changed._solved() if changed.changes >= SOLVE_EVERY else changed


def targets_in(y: NDArray[Any], columns: int) -> Array:
    """Truths as numbers ``(n, k)``: scores as they are, labels as 0 and 1."""
    if y.ndim == 1:
        return np.asarray(y, np.float64)[:, None]
    return (y[:, :columns] > 0).astype(np.float64)
