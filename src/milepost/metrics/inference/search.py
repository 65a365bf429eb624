"""Many overlapping slices searched at once for more mistakes than elsewhere.

Which slices are tried must not depend on the mistakes. Each slice is ranked by the exact
hypergeometric test of "mistakes are no more frequent inside than outside" (Fisher 1935); the whole
search is corrected with the step-down minimum-p method of Westfall & Young (1993, algorithm 2.8),
which permutes the mistakes and so takes account of how the slices overlap.
"""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PERMUTATIONS = 999
"""Permutations of the mistakes: the smallest p-value is 1 in a thousand."""

_CHUNK = 4_000_000
_STREAM = 1993
"""Data that were made with the same seed must not meet their own random numbers."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Searched:
    """What came of the test of ``s`` slices.

    Attributes:
        raw: ``(s,)`` exact one-sided p-value of each slice by itself.
        corrected: ``(s,)`` p-value corrected for the whole search, never below ``raw``.
        level: Level at which each slice by itself would have to be tested, so that the chance of
            any false finding in the whole search is ``1 - confidence``; the smallest p-value that
            such a search gives by luck.
    """

    raw: NDArray[np.float64]
    corrected: NDArray[np.float64]
    level: float


def search(
    slices: NDArray[np.bool_],
    wrong: NDArray[np.bool_],
    units: NDArray[np.int64],
    confidence: float = 0.95,
    seed: int = 0,
) -> Searched:
    """Test every slice for more mistakes inside than outside.

    With no failing slice the chance of any ``corrected`` at or below ``1 - confidence`` is at most
    that, exactly, if the rows (or the units of equal size) could have come in any order. With
    some failing slices the same holds for the others as far as the permutations keep their joint
    distribution (subset pivotality), which the simulation beside this shows.

    Args:
        slices: ``(n, s)``, formed without a look at ``wrong``.
        wrong: ``(n,)`` mistakes.
        units: ``(n,)`` in ``[0, u)``: rows of one unit, such as one customer, stay together.
            Permutations swap the mistakes of units of equal size, and those within a unit.
        confidence: One less the family-wise error, in (0, 1).
        seed: Of the permutations.

    Raises:
        ValueError: If lengths differ.
    """
    n, s = slices.shape
    if wrong.shape != (n,) or units.shape != (n,):
        raise ValueError(f"{n} rows in slices, {len(wrong)} answers, {len(units)} units")
    m = int(wrong.sum())
    if m in (0, n) or s == 0:
        return Searched(raw=np.ones(s), corrected=np.ones(s), level=1.0 - confidence)
    inside = slices.astype(np.float32)
    tails = _Tails(slices.sum(axis=0), n, m)
    raw = tails.of(wrong.astype(np.float32)[None, :] @ inside)[0]
    order = np.argsort(raw, kind="stable")
    inside, tails = np.ascontiguousarray(inside[:, order]), tails.in_order(order)
    # Successive minima from the least significant slice upwards, in every permutation.
    reached = np.zeros(s, np.int64)
    smallest: list[NDArray[np.float64]] = []
    bar = raw[order] * (1.0 + 1e-9)
    for drawn in _permuted(wrong, units, np.random.default_rng((_STREAM, seed))):
        p = tails.of(drawn @ inside)
        minima = np.minimum.accumulate(p[:, ::-1], axis=1)[:, ::-1]
        reached += (minima <= bar).sum(axis=0)
        smallest.append(minima[:, 0])
    stepped = np.maximum.accumulate((reached + 1.0) / (PERMUTATIONS + 1.0))
    corrected = np.empty(s)
    corrected[order] = stepped
    lucky = np.sort(np.concatenate(smallest))
    place = max(int((1.0 - confidence) * (PERMUTATIONS + 1)) - 1, 0)
    # A bound from the sample alone would be as lucky as the sample; Bonferroni's is never wrong.
    level = max(float(lucky[place]), (1.0 - confidence) / s)
    return Searched(
        raw=raw,
        corrected=np.maximum(corrected, raw),
        level=min(level, 1.0 - confidence),
    )


def more_mistakes(
    wrong: NDArray[np.bool_], slices: NDArray[np.bool_], rows: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The exact one-sided p-value of each slice, ``(s,)``, among some of the ``(n,)`` rows."""
    kept = slices[rows]
    m, n = int(wrong[rows].sum()), len(kept)
    if m in (0, n):
        return np.ones(slices.shape[1])
    tails = _Tails(kept.sum(axis=0), n, m)
    return tails.of(wrong[rows].astype(np.float32)[None, :] @ kept.astype(np.float32))[0]


class _Tails:
    """Upper tails of the hypergeometric distribution, by slice size and count, from a table."""

    def __init__(self, sizes: NDArray[np.int64], n: int, m: int) -> None:
        from scipy.special import gammaln

        factorial = np.asarray(gammaln(np.arange(n + 2) + 1.0))
        distinct, which = np.unique(sizes, return_inverse=True)
        tables: list[NDArray[np.float64]] = []
        for size in distinct.tolist():
            x = np.arange(max(0, size + m - n), min(size, m) + 1)
            log = (
                factorial[m] - factorial[x] - factorial[m - x]
                + factorial[n - m] - factorial[size - x] - factorial[n - m - size + x]
                - factorial[n] + factorial[size] + factorial[n - size]
            )  # fmt: skip
            tail = np.minimum(np.cumsum(np.exp(log)[::-1])[::-1], 1.0)
            tables.append(np.concatenate([np.ones(int(x[0])), tail]))
        lengths = np.array([len(table) for table in tables])
        self._starts = (np.cumsum(lengths) - lengths)[which.reshape(-1)]
        self._table = np.concatenate(tables)

    def of(self, counts: NDArray[np.float32]) -> NDArray[np.float64]:
        """P(at least this many), ``(r, s)``."""
        # Sums of ones are exact in single precision.
        return self._table[self._starts + counts.astype(np.int64)]

    def in_order(self, order: NDArray[np.int64]) -> "_Tails":
        """The same for slices in another order."""
        ordered = copy(self)
        ordered._starts = self._starts[order]
        return ordered


def _permuted(
    wrong: NDArray[np.bool_], units: NDArray[np.int64], rng: np.random.Generator
) -> Iterator[NDArray[np.float32]]:
    """Permuted mistakes, ``(r, n)`` at a time, ``PERMUTATIONS`` in all."""
    n = len(wrong)
    order = np.argsort(units, kind="stable")
    sizes = np.bincount(units)[units[order]]
    strata = [order[sizes == size].reshape(-1, size) for size in np.unique(sizes).tolist()]
    step = max(1, _CHUNK // n)
    for start in range(0, PERMUTATIONS, step):
        times = min(step, PERMUTATIONS - start)
        drawn = np.empty((times, n), np.float32)
        for rows in strata:
            u, size = rows.shape
            if size == 1:
                drawn[:, rows[:, 0]] = _subsets(u, int(wrong[rows].sum()), times, rng)
                continue
            pattern = np.broadcast_to(wrong[rows].astype(np.float32), (times, u, size))
            places = rng.permuted(np.broadcast_to(np.arange(u), (times, u)), axis=1)
            moved = np.take_along_axis(rng.permuted(pattern, axis=2), places[:, :, None], axis=1)
            drawn[:, rows.reshape(-1)] = moved.reshape(times, u * size)
        yield drawn


def _subsets(n: int, m: int, times: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Random subsets of ``m`` of ``n`` as ones and zeros, ``(times, n)``; faster than permuting."""
    drawn = np.zeros((times, n), np.float32)
    if 0 < m < n:
        chosen = np.argpartition(rng.random((times, n)), m - 1, axis=1)[:, :m]
        np.put_along_axis(drawn, chosen, 1.0, axis=1)
    elif m == n:
        drawn[:] = 1.0
    return drawn
