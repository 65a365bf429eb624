"""Trains a table of token vectors and a head on what a teacher said; numpy alone.

It knows nothing of texts or tasks: token ids and targets in, arrays out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.strategies.watching import Watch

Floats = NDArray[np.float32]

_TINY = np.float32(1e-8)
_FIRST, _SECOND = np.float32(0.9), np.float32(0.999)


@dataclass(frozen=True, slots=True)
class Pace:
    """How to train.

    Attributes:
        epochs: Times that each text is seen, ≥ 1.
        batch: Texts of a step, ≥ 1.
        rate: Learning rate of the table at the start; it falls linearly to 0. The head's is
            ``head_rate`` times it.
        head_rate: See ``rate``.
        dropped: Share of the tokens of a text that are left out of a step, in [0, 1).
    """

    epochs: int = 15
    batch: int = 64
    rate: float = 2e-3
    head_rate: float = 10.0
    dropped: float = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What is to be learned of ``n`` texts.

    Attributes:
        ids: Token ids of each text, ``int64``; a text may have none and is then passed over.
        targets: ``(n, k) float32`` probabilities.
    """

    ids: Sequence[NDArray[np.int64]]
    targets: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Averaging:
    """What was learned.

    Attributes:
        table: ``(v, d) float32``.
        weights: ``(k, d) float32``.
        bias: ``(k,) float32``.
    """

    table: Floats
    weights: Floats
    bias: Floats


def learn(
    lesson: Lesson, table: Floats, pace: Pace, *, seed: int, watch: Watch | None = None
) -> Averaging:
    """Minimise the log loss against the targets by Adam.

    A row that no text of a step uses is left as it is (Kingma & Ba 2015, with the moments of a row
    updated only where it is used).

    Args:
        lesson: What is to be learned.
        table: ``(v, d)`` to begin with; it is not changed.
        pace: How to train.
        seed: Makes it deterministic.
        watch: When the deadline has passed, what was learned until then is given.

    Raises:
        FloatingPointError: If a loss is not finite.
    """
    watch = watch or Watch()
    rng = np.random.default_rng(seed)
    own = np.array([at for at, ids in enumerate(lesson.ids) if len(ids)], np.int64)
    model = _Model(table, lesson)
    steps = max(1, pace.epochs * -(-len(own) // pace.batch))
    done = 0
    for _ in range(pace.epochs):
        order = rng.permutation(own)
        for start in range(0, len(order), pace.batch):
            if watch.deadline.passed:
                watch.late(done, steps)
                return model.learned()
            rate = pace.rate * (1.0 - done / steps)
            model.step(order[start : start + pace.batch], rate, pace, rng)
            done += 1
        watch.progress(done / steps)
    return model.learned()


class _Moments:
    """Adam for one array, of which some rows are used."""

    def __init__(self, array: Floats) -> None:
        self.array = array
        self._first = np.zeros_like(array)
        self._second = np.zeros_like(array)
        self._times = np.zeros(len(array), np.float32)

    def move(self, rows: NDArray[np.int64] | slice, gradient: Floats, rate: float) -> None:
        self._times[rows] += 1
        times = self._times[rows].reshape(-1, *[1] * (gradient.ndim - 1))
        first = self._first[rows] * _FIRST + gradient * (1 - _FIRST)
        second = self._second[rows] * _SECOND + gradient * gradient * (1 - _SECOND)
        self._first[rows], self._second[rows] = first, second
        size = np.sqrt(second / (1 - _SECOND**times)) + _TINY
        self.array[rows] -= np.float32(rate) * (first / (1 - _FIRST**times)) / size


class _Model:
    def __init__(self, table: Floats, lesson: Lesson) -> None:
        d, k = table.shape[1], lesson.targets.shape[1]
        self._lesson = lesson
        self._table = _Moments(table.astype(np.float32))
        self._weights = _Moments(np.zeros((k, d), np.float32))
        self._bias = _Moments(np.zeros(k, np.float32))

    def learned(self) -> Averaging:
        return Averaging(self._table.array, self._weights.array, self._bias.array)

    def step(
        self, rows: NDArray[np.int64], rate: float, pace: Pace, rng: np.random.Generator
    ) -> None:
        ids, lengths = _tokens([self._lesson.ids[row] for row in rows], pace.dropped, rng)
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        sums = np.add.reduceat(self._table.array[ids], starts)
        sizes = np.sqrt(np.einsum("nd,nd->n", sums, sums))[:, None] + _TINY
        h = sums / sizes
        scores = h @ self._weights.array.T + self._bias.array
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=1, keepdims=True)
        back = (scores - self._lesson.targets[rows]) / np.float32(len(rows))
        if not np.isfinite(back).all():
            raise FloatingPointError("the loss is not finite")
        d_h = back @ self._weights.array
        self._weights.move(slice(None), back.T @ h, rate * pace.head_rate)
        self._bias.move(slice(None), back.sum(axis=0), rate * pace.head_rate)
        d_sums = (d_h - h * np.einsum("nd,nd->n", h, d_h)[:, None]) / sizes
        order = np.argsort(ids, kind="stable")
        used, first = np.unique(ids[order], return_index=True)
        owners = np.repeat(np.arange(len(rows)), lengths)[order]
        self._table.move(used, np.add.reduceat(d_sums[owners], first), rate)


def _tokens(
    rows: Sequence[NDArray[np.int64]], dropped: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All ids, and how many of each row; some are dropped, but never all of a row."""
    ids = np.concatenate(rows)
    lengths = np.array([len(row) for row in rows], np.int64)
    if not dropped:
        return ids, lengths
    kept = rng.random(len(ids)) >= dropped
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    left = np.add.reduceat(kept.astype(np.int64), starts)
    kept[starts[left == 0]] = True
    return ids[kept], np.maximum(left, 1)
