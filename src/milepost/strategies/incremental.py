"""Heads that take single examples in and out without solving anew: the linear discriminant.

It knows nothing of tasks or texts, and gives what :class:`Discriminant` gives on the same
statistics at the same shrinkage, up to rounding.
"""

from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from milepost.strategies.discriminant import Array, ClassStatistics

SOLVE_EVERY = 64
"""Single changes after which it is solved from the statistics again, so that rounding cannot add
up: a change costs an inverse's rounding, and this many of them stay far below 1e-6."""


class Solved(Protocol):
    """A linear head in closed form, ready to change. Immutable.

    A truth is a row of what ``milepost.entities.kinds.truths`` gives.
    """

    def with_example(self, vector: NDArray[np.floating], truth: Any, /) -> "Solved":
        """With one more example ``(d,)``."""
        ...

    def without_example(self, vector: NDArray[np.floating], truth: Any, /) -> "Solved":
        """Without an example ``(d,)`` that is part of it."""
        ...

    def without(self, vectors: NDArray[np.floating], y: NDArray[Any], /) -> "Solved":
        """Without several examples ``(n, d)`` that are part of it; solved anew."""
        ...

    def linear(self) -> tuple[Array, Array]:
        """Coefficients ``(k, d)`` and bias ``(k,)``."""
        ...

    def leave_one_out(self, vectors: NDArray[np.floating], y: NDArray[Any], /) -> Array:
        """Numbers ``(n, k)`` of examples that are part of it, each from a fit without it."""
        ...

    def spare(self, y: NDArray[Any], /) -> NDArray[np.bool_]:
        """Which of ``n`` examples can be left out alone, ``(n,)``."""
        ...


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SolvedDiscriminant:
    """Linear discriminant analysis at one shrinkage, ready to change. Immutable.

    With within-class scatter S and shrinkage λ it holds the inverse of ``S + λ I`` and its product
    with the means. An example x of label c with weight N and mean m that comes (w = 1) or goes
    (w = -1) changes S by ``w N / (N + w) (x - m)(x - m)'`` and m by ``w (x - m) / (N + w)``
    (Welford 1962), and the inverse by the rank-one formula of Sherman and Morrison (1950).

    Attributes:
        statistics: Of all examples, the labels' own texts included.
        shrinkage: λ, > 0.
        inverse: ``(d, d) float64``.
        means: ``(k, d) float64`` mean per label.
        solved: ``(d, k) float64``, ``inverse @ means.T``.
        changes: Single changes since it was solved.
    """

    statistics: ClassStatistics
    shrinkage: float
    inverse: Array
    means: Array
    solved: Array
    changes: int = 0

    @classmethod
    def of(cls, statistics: ClassStatistics, shrinkage: float) -> Self:
        """Solve from the statistics.

        Raises:
            ValueError: If a label has no weight, or the shrinkage is not above 0.
        """
        if (statistics.counts <= 0).any():
            raise ValueError("Every label needs a positive weight.")
        if not shrinkage > 0:
            raise ValueError("The shrinkage must be above 0.")
        means = statistics.sums / statistics.counts[:, None]
        within = statistics.scatter - means.T @ statistics.sums
        regular = (within + within.T) / 2 + shrinkage * np.eye(len(within))
        inverse = np.linalg.inv(regular)
        return cls(
            statistics=statistics,
            shrinkage=shrinkage,
            inverse=(inverse + inverse.T) / 2,
            means=means,
            solved=inverse @ means.T,
        )

    def with_example(self, vector: NDArray[np.floating], label: int, /) -> Self:
        """With one more example ``(d,)`` of a label."""
        return self._changed(vector, label, 1.0)

    def without_example(self, vector: NDArray[np.floating], label: int, /) -> Self:
        """Without an example ``(d,)`` that is part of it.

        Raises:
            ValueError: If the label would have no weight left.
        """
        return self._changed(vector, label, -1.0)

    def without(self, vectors: NDArray[np.floating], y: NDArray[np.int64], /) -> Self:
        """Without several examples ``(n, d)``, ``(n,)`` that are part of it; solved anew.

        Raises:
            ValueError: If a label would have no weight left.
        """
        return self.of(self.statistics.remove(vectors, y), self.shrinkage)

    def linear(self) -> tuple[Array, Array]:
        """Coefficients ``(k, d)`` and bias ``(k,)`` of the log posterior, up to a constant."""
        scale, counts = self._scale(0.0), self.statistics.counts
        squares = np.einsum("kd,dk->k", self.means, self.solved)
        return scale * self.solved.T, np.log(counts / counts.sum()) - 0.5 * scale * squares

    def leave_one_out(self, vectors: NDArray[np.floating], y: NDArray[np.int64], /) -> Array:
        """Logits ``(n, k)`` of examples that are part of it, each from a fit without it.

        Exact, as :meth:`Discriminant.leave_one_out`, but without eigenvectors.

        Args:
            vectors: ``(n, d)`` examples with weight 1.
            y: ``(n,) int64`` their labels, each of which weighs more than 1.

        Raises:
            ValueError: If a label would have no weight left.
        """
        counts = self.statistics.counts
        if (counts[y] <= 1).any():
            raise ValueError("A label would have no weight left without the example.")
        rows, x, left = np.arange(len(y)), np.asarray(vectors, np.float64), counts[y] - 1.0
        off = x - self.means[y]
        turned = off @ self.inverse
        off_off = np.einsum("nd,nd->n", turned, off)
        # where the example goes, the inverse grows by gain * turned turned'
        stretch = counts[y] / left
        gain = stretch / (1.0 - stretch * off_off)
        with_x = np.einsum("nd,nd->n", turned, x)
        with_means = turned @ self.means.T
        own = np.einsum("kd,dk->k", self.means, self.solved)
        squares = own + gain[:, None] * with_means**2
        plain = x @ self.solved
        products = plain + (gain * with_x)[:, None] * with_means
        # its own label has another mean too: m - off / left
        own_off = with_means[rows, y] - off_off / left
        own_squares = own[y] - (with_means[rows, y] + own_off) / left
        squares[rows, y] = own_squares + gain * own_off**2
        products[rows, y] = plain[rows, y] - with_x / left + gain * with_x * own_off
        total = float(counts.sum())
        prior = np.tile(np.log(counts / (total - 1.0)), (len(y), 1))
        prior[rows, y] = np.log(left / (total - 1.0))
        return self._scale(-1.0) * (products - 0.5 * squares) + prior

    def spare(self, y: NDArray[np.int64], /) -> NDArray[np.bool_]:
        """Which of ``n`` examples can be left out alone, ``(n,)``: those not the last of theirs."""
        return self.statistics.counts[y] > 1

    def _changed(self, vector: NDArray[np.floating], label: int, weight: float) -> Self:
        x = np.asarray(vector, np.float64)
        old = self.statistics
        count = float(old.counts[label]) + weight
        if count <= 0:
            raise ValueError("A label would have no weight left without the example.")
        counts, sums = old.counts.copy(), old.sums.copy()
        counts[label] = count
        sums[label] += weight * x
        statistics = ClassStatistics(counts, sums, old.scatter + weight * np.outer(x, x))
        if self.changes + 1 >= SOLVE_EVERY:
            return self.of(statistics, self.shrinkage)
        off = x - self.means[label]
        turned = self.inverse @ off
        grows = weight * float(old.counts[label]) / count
        along = float(off @ turned)
        gain = grows / (1.0 + grows * along)
        means, solved = self.means.copy(), self.solved - gain * np.outer(turned, off @ self.solved)
        means[label] += weight / count * off
        solved[:, label] += weight / count * (1.0 - gain * along) * turned
        return type(self)(
            statistics=statistics,
            shrinkage=self.shrinkage,
            inverse=self.inverse - gain * np.outer(turned, turned),
            means=means,
            solved=solved,
            changes=self.changes + 1,
        )

    def _scale(self, more: float) -> float:
        counts = self.statistics.counts
        return float(counts.sum()) + more + self.shrinkage * self.means.shape[1]
