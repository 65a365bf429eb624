"""Confusion counts of one or many resamples at once.

A classification metric depends on the answers only through how often each pair (actual label,
answered label) occurs. Resampling therefore works on the distinct pairs, of which there are far
fewer than rows, and every metric is a function of three sums per label.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UNKNOWN = -1
"""Index of an actual label that the task does not know, and of an answer that decides nothing."""

_CHUNK = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Sums over rows, for any number of resamples in the leading dimensions.

    Attributes:
        right: ``(..., k)`` rows of each label that were answered with it.
        answered: ``(..., k)`` rows that were answered with each label; those without an answer are
            in none.
        actual: ``(..., k)`` rows that have each label.
        n: ``(...)`` rows in all, those with an unknown label or without an answer included.
    """

    right: NDArray[np.float64]
    answered: NDArray[np.float64]
    actual: NDArray[np.float64]
    n: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Distinct rows (actual label, answers of ``m`` predictors) and how often each occurs.

    Attributes:
        y: ``(t,) int64`` actual label, ``-1`` for one that the task does not know.
        answers: ``(m, t) int64`` answered labels, ``-1`` for no answer.
        counts: ``(t,) int64`` rows in each cell.
        k: Number of labels.
    """

    y: NDArray[np.int64]
    answers: NDArray[np.int64]
    counts: NDArray[np.int64]
    k: int

    @classmethod
    def of(cls, y: NDArray[np.int64], answers: NDArray[np.int64], k: int) -> "Cells":
        """Group the rows.

        Args:
            y: ``(n,)`` actual labels in ``[-1, k)``.
            answers: ``(m, n)`` or ``(n,)`` answered labels in ``[-1, k)``.
            k: Number of labels, at least 1.

        Raises:
            ValueError: If shapes differ, nothing is given or a label is out of range.
        """
        answers = np.atleast_2d(answers)
        if answers.shape[1] != len(y) or y.ndim != 1:
            raise ValueError(f"y has shape {y.shape} and answers {answers.shape}")
        if not len(y):
            raise ValueError("there is nothing to judge: no examples")
        if min(y.min(), answers.min()) < UNKNOWN or max(y.max(), answers.max()) >= k:
            raise ValueError(f"label indices must lie in [0, {k}), or be -1 for unknown ones")
        code = _row_codes(y, answers, k)
        _, first, counts = np.unique(code, return_index=True, return_counts=True)
        return cls(y[first], answers[:, first], counts, k)

    @property
    def n(self) -> int:
        """Rows in all."""
        return int(self.counts.sum())

    def totals(self, predictor: int = 0) -> Counts:
        """Counts of the sample itself, without a leading dimension."""
        found = self.sums(self.counts[None, :].astype(np.float64), predictor)
        return Counts(found.right[0], found.answered[0], found.actual[0], found.n[0])

    def sums(self, weights: NDArray[np.float64], predictor: int = 0) -> Counts:
        """Counts of one predictor when the cells weigh ``weights``, ``(r, t)``."""
        answers = self.answers[predictor]
        hit = answers == self.y
        return Counts(
            right=_sum_by(weights, np.where(hit, answers, UNKNOWN), self.k),
            answered=_sum_by(weights, answers, self.k),
            actual=_sum_by(weights, self.y, self.k),
            n=weights.sum(axis=1),
        )

    def means(
        self, y: NDArray[np.int64], answers: NDArray[np.int64], values: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Mean of row values in each cell.

        Args:
            y: ``(n,)`` as given to ``of``.
            answers: ``(m, n)`` as given to ``of``.
            values: ``(m, n)``.

        Returns:
            ``(m, t)``.
        """
        code = np.unique(_row_codes(y, answers, self.k), return_inverse=True)[1].reshape(-1)
        sums = [np.bincount(code, row, minlength=len(self.counts)) for row in values]
        return np.stack(sums) / self.counts

    def of_rows(self, y: NDArray[np.int64], answers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Cell of each row, ``(n,)``, of one predictor's rows as given to ``of``."""
        code = _row_codes(y, np.atleast_2d(answers), self.k)
        return np.unique(code, return_inverse=True)[1].reshape(-1)

    def resamples(self, times: int, rng: np.random.Generator) -> Iterator[NDArray[np.float64]]:
        """Nonparametric bootstrap (Efron 1979): cell counts of resamples, ``(r, t)`` at a time."""
        share = self.counts / self.counts.sum()
        step = max(1, _CHUNK // max(len(share), self.k))
        for start in range(0, times, step):
            size = min(step, times - start)
            yield rng.multinomial(self.n, share, size=size).astype(np.float64)


def _row_codes(y: NDArray[np.int64], answers: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """One integer per row, equal for equal rows; renumbered so that it cannot overflow."""
    code = y + 1
    for row in answers:
        code = np.unique(code * (k + 1) + row + 1, return_inverse=True)[1].reshape(-1)
    return code.astype(np.int64)


def _sum_by(weights: NDArray[np.float64], codes: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """Sum columns of ``(r, t)`` weights by code into ``(r, k)``; negative codes are left out."""
    kept = np.flatnonzero(codes >= 0)
    if not len(kept):
        return np.zeros((len(weights), k))
    order = kept[np.argsort(codes[kept], kind="stable")]
    present, starts = np.unique(codes[order], return_index=True)
    sums = np.zeros((len(weights), k))
    sums[:, present] = np.add.reduceat(weights[:, order], starts, axis=1)
    return sums
