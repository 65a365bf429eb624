"""Linear discriminant analysis from sufficient statistics, with exact leave-one-group-out.

It knows nothing of tasks or texts. Counts, sums and one scatter matrix are all that is kept of
the examples, so that examples are added, removed and merged exactly, without refitting.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ClassStatistics:
    """Sufficient statistics of weighted, labelled vectors. Immutable: changes give new ones.

    Attributes:
        counts: ``(k,) float64`` weight per label.
        sums: ``(k, d) float64`` weighted sum of vectors per label.
        scatter: ``(d, d) float64`` weighted sum of outer products over all labels.
    """

    counts: Array
    sums: Array
    scatter: Array

    @classmethod
    def empty(cls, labels: int, dimensions: int) -> Self:
        """Statistics of no example."""
        return cls(
            np.zeros(labels), np.zeros((labels, dimensions)), np.zeros((dimensions, dimensions))
        )

    @classmethod
    def of(
        cls,
        vectors: NDArray[np.floating],
        y: NDArray[np.int64],
        labels: int,
        weights: NDArray[np.floating] | None = None,
    ) -> Self:
        """Statistics of examples.

        Args:
            vectors: ``(n, d)``.
            y: ``(n,) int64`` in ``[0, labels)``.
            labels: Number of labels ``k``.
            weights: ``(n,)``; ``None`` for ones.
        """
        order = np.argsort(y, kind="stable")
        x = vectors[order].astype(np.float64)
        weighted = x if weights is None else x * np.asarray(weights, np.float64)[order, None]
        sums = np.zeros((labels, x.shape[1]))
        present, starts = np.unique(y[order], return_index=True)
        for label, rows in zip(present, np.split(weighted, starts[1:]), strict=False):
            sums[label] = rows.sum(axis=0)
        return cls(np.bincount(y, weights, labels).astype(np.float64), sums, weighted.T @ x)

    def merge(self, other: Self) -> Self:
        """Statistics of both sets of examples together."""
        return type(self)(
            self.counts + other.counts, self.sums + other.sums, self.scatter + other.scatter
        )

    def subtract(self, other: Self) -> Self:
        """Statistics without examples that were part of these; undoes ``merge``."""
        return type(self)(
            self.counts - other.counts, self.sums - other.sums, self.scatter - other.scatter
        )

    def add(self, vectors: NDArray[np.floating], y: NDArray[np.int64]) -> Self:
        """Statistics with further examples ``(n, d)``, ``(n,)``."""
        return self.merge(self.of(vectors, y, len(self.counts)))

    def remove(self, vectors: NDArray[np.floating], y: NDArray[np.int64]) -> Self:
        """Statistics without examples that were added before: exact unlearning."""
        return self.subtract(self.of(vectors, y, len(self.counts)))


class Discriminant:
    """Linear discriminant analysis at any shrinkage, after one eigendecomposition.

    With within-class scatter S, total weight N and shrinkage λ the covariance is
    ``(S + λ I) / (N + λ d)``: the posterior mean under an inverse Wishart prior worth ``λ d``
    examples whose covariance ``I / d`` is that of isotropic vectors of unit length.

    Args:
        statistics: Every label must have a positive weight.

    Raises:
        ValueError: If a label has no weight.
    """

    def __init__(self, statistics: ClassStatistics) -> None:
        if (statistics.counts <= 0).any():
            raise ValueError("Every label needs a positive weight.")
        self._counts = statistics.counts
        self._total = float(statistics.counts.sum())
        means = statistics.sums / statistics.counts[:, None]
        within = statistics.scatter - means.T @ statistics.sums
        values, self._axes = np.linalg.eigh((within + within.T) / 2)
        self._values = np.maximum(values, 0.0)
        self._means = means @ self._axes

    def linear(self, shrinkage: float) -> tuple[Array, Array]:
        """Coefficients ``(k, d)`` and bias ``(k,)`` of the log posterior, up to a constant.

        Args:
            shrinkage: λ, > 0.
        """
        scale = self._scale(shrinkage)
        whitened = self._means / (self._values + shrinkage)
        bias = np.log(self._counts / self._total) - 0.5 * scale * (whitened * self._means).sum(1)
        return scale * (whitened @ self._axes.T), bias

    def leave_one_out(
        self, vectors: NDArray[np.floating], y: NDArray[np.int64], shrinkage: float
    ) -> Array:
        """Logits of each example from a fit without it, exactly, without refitting.

        Taking x of label c away changes the scatter by the rank-one term
        ``N_c / (N_c - 1) (x - m_c)(x - m_c)'`` and one mean; the inverse follows by
        Sherman and Morrison (1950).

        Args:
            vectors: ``(n, d)`` examples that are part of the statistics with weight 1.
            y: ``(n,) int64`` their labels, each of which weighs more than 1.
            shrinkage: λ, > 0.

        Returns:
            ``(n, k) float64``.

        Raises:
            ValueError: If a label would have no weight left.
        """
        if (self._counts[y] <= 1).any():
            raise ValueError("A label would have no weight left without the example.")
        rows = np.arange(len(y))
        root = 1.0 / np.sqrt(self._values + shrinkage)
        x = (np.asarray(vectors, np.float64) @ self._axes) * root
        means = self._means * root
        left = self._counts[y] - 1.0
        stretch = np.sqrt(self._counts[y] / left)

        with_means = x @ means.T
        off = x - means[y]
        off_squared = (off**2).sum(1)
        # the removed direction a = stretch * off, held against means and x in the whitened space
        a_means = stretch[:, None] * (with_means - (means @ means.T)[y])
        a_x = stretch * (off * x).sum(1)
        a_off = stretch * off_squared
        lost = 1.0 - stretch**2 * off_squared

        squares = (means**2).sum(1)[None, :] + a_means**2 / lost[:, None]
        products = with_means + a_means * (a_x / lost)[:, None]
        # the example's own label has another mean too: m - off / left
        own_a = a_means[rows, y] - a_off / left
        own_mean = means[y] - off / left[:, None]
        squares[rows, y] = (own_mean**2).sum(1) + own_a**2 / lost
        products[rows, y] = (x * own_mean).sum(1) + own_a * a_x / lost

        prior = np.tile(np.log(self._counts / (self._total - 1.0)), (len(y), 1))
        prior[rows, y] = np.log(left / (self._total - 1.0))
        return (self._scale(shrinkage) - 1.0) * (products - 0.5 * squares) + prior

    def leave_group_out(
        self,
        vectors: NDArray[np.floating],
        y: NDArray[np.int64],
        groups: NDArray[np.int64],
        shrinkage: float,
    ) -> Array:
        """Logits of each example from a fit without any of its group, exactly, without refitting.

        Rows on their own go through ``leave_one_out``. Taking g rows away changes the scatter by a
        term of rank g, whose inverse follows by Woodbury (1950) in g or d dimensions, whichever is
        fewer.

        Args:
            vectors: ``(n, d)`` examples that are part of the statistics with weight 1.
            y: ``(n,) int64`` their labels.
            groups: ``(n,) int64`` group of each; whatever of a group is not among these rows stays.
            shrinkage: λ, > 0.

        Returns:
            ``(n, k) float64``.

        Raises:
            ValueError: If a label would have no weight left without a group.
        """
        order = np.argsort(groups, kind="stable")
        borders = np.flatnonzero(np.diff(groups[order])) + 1
        logits = np.zeros((len(y), len(self._counts)))
        blocks = np.split(order, borders) if len(order) else []
        alone = np.asarray([block[0] for block in blocks if len(block) == 1], np.int64)
        if len(alone):
            logits[alone] = self.leave_one_out(vectors[alone], y[alone], shrinkage)
        for block in blocks:
            if len(block) > 1:
                logits[block] = self._without(vectors[block], y[block], shrinkage)
        return logits

    def _without(
        self, vectors: NDArray[np.floating], y: NDArray[np.int64], shrinkage: float
    ) -> Array:
        """Logits ``(g, k)`` of rows from a fit without all of them.

        With ``D`` the removed rows of one label less their mean, ``n`` of its weight ``N``, the
        scatter loses ``D' (I + 11' / (N - n)) D``; the root of the matrix in the middle is
        ``I + a 11'`` with ``a = (sqrt(N / (N - n)) - 1) / n``.
        """
        taken = np.bincount(y, minlength=len(self._counts)).astype(np.float64)
        left = self._counts - taken
        if (left <= 0).any():
            raise ValueError("A label would have no weight left without the group.")
        root = 1.0 / np.sqrt(self._values + shrinkage)
        x = (np.asarray(vectors, np.float64) @ self._axes) * root
        means = self._means * root
        lost = x - means[y]
        new_means = means.copy()
        for label in np.unique(y):
            rows = y == label
            total = lost[rows].sum(axis=0)
            new_means[label] -= total / left[label]
            stretch = np.sqrt(self._counts[label] / left[label]) - 1.0
            lost[rows] += stretch / taken[label] * total
        if len(lost) <= lost.shape[1]:
            core = np.linalg.solve(np.eye(len(lost)) - lost @ lost.T, lost @ new_means.T)
            solved = new_means + core.T @ lost
        else:
            solved = np.linalg.solve(np.eye(lost.shape[1]) - lost.T @ lost, new_means.T).T
        squares = (solved * new_means).sum(axis=1)
        products = x @ solved.T
        prior = np.log(left / (self._total - len(y)))
        return (self._scale(shrinkage) - len(y)) * (products - 0.5 * squares) + prior

    def _scale(self, shrinkage: float) -> float:
        return self._total + shrinkage * len(self._values)
