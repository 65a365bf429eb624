"""Which tasks help which, from vectors alone: what one learns of the space, tried on another.

Each task is a classifier of cosine form, ``x M p_c / τ`` with ``p_c`` the mean of a label's
vectors. Its log loss is convex in the matrix ``M`` that all tasks share. A step of ``M`` down one
task's gradient shows what that task would make of the space; the change of another task's loss
there is what it does to that one (the lookahead of Fifty et al. 2021, on frozen vectors and in
closed form instead of within a training).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.metrics.inference.multiplicity import holm

STEP = 0.1
"""Length of the step of ``M``, in the Frobenius norm: so small that effects are in proportion to it
(the order of all pairs' effects is the same up to ten times as much)."""

TEMPERATURES = (0.02, 0.035, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
LABEL_WEIGHT = 2.0
"""How many examples a label's own text counts for."""

LEAST = 0.001
"""Smallest gain that is worth telling. The test takes a task's label means for given; where they
are mere chance, effects far below this come out as shown too often."""

SHOWN = 0.05
"""Largest p-value, corrected for all pairs, at which an effect counts as shown."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class TaskVectors:
    """A task as vectors.

    Attributes:
        vectors: ``(n, d) float32`` of unit length.
        y: ``(n,) int64``.
        labels: ``(k, d) float32``, vector of each label's own text.
        half: ``(n,) bool``, in which half a row lies; near-duplicates, of whatever task, share one.
    """

    vectors: NDArray[np.float32]
    y: NDArray[np.int64]
    labels: NDArray[np.float32]
    half: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Effects:
    """Effects of ``t`` tasks on each other; the diagonal is that of a task's own further rows.

    Attributes:
        gain: ``(t, t)``, relative decrease of the column's log loss by the row.
        error: ``(t, t)``, standard error of ``gain``.
        p_value: ``(t, t)``, two-sided p-value of no effect, corrected for all pairs (Holm); 1 on
            the diagonal.
    """

    gain: Array
    error: Array
    p_value: Array

    @property
    def shown(self) -> NDArray[np.bool_]:
        """``(t, t)``, whether there is an effect that is worth telling, for better or worse."""
        return (self.p_value <= SHOWN) & (np.abs(self.gain) >= LEAST)


def effects_between(tasks: Sequence[TaskVectors]) -> Effects:
    """What each task's rows do for each other task.

    A row's loss is taken where ``M`` was learned on the half that it is not in, and at the means
    of its own task's labels without itself.

    Args:
        tasks: At least two, of one ``d``; each has rows in both halves.
    """
    read = [_Readout(task) for task in tasks]
    slopes = [[each.slope(half) for half in (False, True)] for each in read]
    t = len(tasks)
    gain, error, p_value = np.zeros((t, t)), np.zeros((t, t)), np.ones((t, t))
    for source in range(t):
        for target in range(t):
            fell, loss = read[target].fall(slopes[source])
            spread = float(fell.std(ddof=1)) / np.sqrt(len(fell)) if len(fell) > 1 else np.inf
            gain[source, target] = fell.mean() / loss
            error[source, target] = spread / loss
            p_value[source, target] = _two_sided(float(fell.mean()), spread)
    apart = ~np.eye(t, dtype=np.bool_)
    p_value[apart] = holm(p_value[apart])
    np.fill_diagonal(p_value, 1.0)
    return Effects(gain, error, p_value)


def helpful_groups(gain: Array) -> list[list[int]]:
    """Groups of tasks that are expected to help each other, the largest first.

    Greedy: from single tasks, the two groups are merged whose union adds most to the sum over
    tasks of the mean gain from the others of their group, as long as it adds anything.

    Args:
        gain: ``(t, t)``, of the column by the row.
    """
    groups = [[task] for task in range(len(gain))]
    while len(groups) > 1:
        worth = [_worth(gain, group) for group in groups]
        best = max(
            (
                _worth(gain, one + other) - worth[at] - worth[at + 1 + beside],
                -at,
                -(at + 1 + beside),
            )
            for at, one in enumerate(groups)
            for beside, other in enumerate(groups[at + 1 :])
        )
        if best[0] <= 0:
            break
        at, beside = -best[1], -best[2]
        groups[at] = sorted(groups[at] + groups.pop(beside))
    return sorted(groups, key=lambda group: (-len(group), group))


def _worth(gain: Array, group: Sequence[int]) -> float:
    """Sum over the group's tasks of the mean gain from its others; 0 for a task alone."""
    if len(group) == 1:
        return 0.0
    inside = gain[np.ix_(group, group)]
    return float((inside.sum() - np.trace(inside)) / (len(group) - 1))


class _Readout:
    """A task's classifier at ``M = 1``, and the slope of its loss there."""

    def __init__(self, task: TaskVectors) -> None:
        self._x = task.vectors.astype(np.float64)
        self._y, self._half = task.y, task.half
        labels = task.labels.astype(np.float64)
        k = len(labels)
        counts = np.bincount(task.y, minlength=k) + LABEL_WEIGHT
        sums = LABEL_WEIGHT * labels
        np.add.at(sums, task.y, self._x)
        self._means = sums / counts[:, None]
        # The mean of a row's own label, without the row.
        self._own = (sums[task.y] - self._x) / (counts[task.y] - 1)[:, None]
        self._rows = np.arange(len(task.y))
        similarity = self._similarity(self._x)
        self._temperature = min(
            TEMPERATURES, key=lambda heat: float(self._losses(similarity / heat).mean())
        )
        self._logits = similarity / self._temperature

    def slope(self, half: bool) -> Array:  # noqa: FBT001 — one of two
        """Gradient ``(d, d)`` of the mean loss of one half's rows, of unit length."""
        rows = np.flatnonzero(self._half == half)
        logits = self._logits[rows]
        apart = np.exp(logits - logits.max(axis=1, keepdims=True))
        apart /= apart.sum(axis=1, keepdims=True)
        apart[np.arange(len(rows)), self._y[rows]] -= 1.0
        x = self._x[rows]
        own = apart[np.arange(len(rows)), self._y[rows]]
        found = x.T @ (apart @ self._means)
        found += x.T @ (own[:, None] * (self._own[rows] - self._means[self._y[rows]]))
        length = float(np.linalg.norm(found))
        return found / length if length > 0 else found

    def fall(self, slopes: Sequence[Array]) -> tuple[Array, float]:
        """How far each row's loss falls ``(n,)`` after a step, and the mean loss before it.

        Args:
            slopes: Of both halves; a row is tried with that of the other half.
        """
        before = self._losses(self._logits)
        after = np.empty(len(self._y))
        for half in (False, True):
            rows = np.flatnonzero(self._half != half)
            moved = self._x[rows] - STEP * (self._x[rows] @ slopes[half])
            logits = self._similarity(moved, rows) / self._temperature
            after[rows] = self._losses(logits, rows)
        return before - after, float(before.mean())

    def _similarity(self, x: Array, rows: NDArray[np.int64] | None = None) -> Array:
        """``(m, k)`` of rows ``x M`` with the label means, each row's own without itself."""
        at = self._rows if rows is None else rows
        found = x @ self._means.T
        found[np.arange(len(at)), self._y[at]] = np.einsum("nd,nd->n", x, self._own[at])
        return found

    def _losses(self, logits: Array, rows: NDArray[np.int64] | None = None) -> Array:
        y = self._y if rows is None else self._y[rows]
        return np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(y)), y]


def _two_sided(mean: float, error: float) -> float:
    """P-value of a mean of 0, normal; 1 where there is no spread to tell by."""
    from scipy.special import ndtr

    if not np.isfinite(error) or error <= 0:
        return 1.0
    return float(2.0 * ndtr(-abs(mean / error)))
