"""Which rows the model that answers a row out of fold may be fitted on.

Without times: stratified folds by group, each answered by a model of all others. With times:
forward chaining, so that every answer that counts comes from a model of earlier rows only.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import DataError
from milepost.entities.example import Examples

FIRST = 2
"""Folds that the earliest half of the rows is cut into: each is answered by the other."""


@dataclass(frozen=True, slots=True, eq=False)
class Folding:
    """Folds of ``n`` rows.

    Attributes:
        fold_of: ``(n,) int64`` in ``[0, count)``; every fold has at least one row.
        counts: ``(n,) bool``, the rows whose out-of-fold answer is evidence: it comes from a model
            that saw nothing of the row's group, nor, with times, anything as late as the row.
        forward: Whether the folds follow each other in time.
    """

    fold_of: NDArray[np.int64]
    counts: NDArray[np.bool_]
    forward: bool = False

    @property
    def count(self) -> int:
        """How many folds there are."""
        return int(self.fold_of.max()) + 1

    def inside(self, fold: int) -> NDArray[np.int64]:
        """Rows that are answered together, ascending."""
        return np.flatnonzero(self.fold_of == fold)

    def fitted_on(self, fold: int) -> NDArray[np.int64]:
        """Rows that the model which answers ``fold`` is fitted on, ascending."""
        if self.forward and fold >= FIRST:
            return np.flatnonzero(self.fold_of < fold)
        if self.forward:
            return np.flatnonzero(self.fold_of == 1 - fold)
        return np.flatnonzero(self.fold_of != fold)


def fold_examples(
    examples: Examples, y: NDArray[np.int64], k: int, seed: int = 0, own: int | None = None
) -> Folding:
    """Folds for cross-fitting: by group and stratified, or one after the other in time.

    With times the earliest half of the rows only trains, and the rest is cut into ``k`` blocks of
    about equal size, each answered by a model of everything before it. Rows of one time are never
    parted. A row whose group occurs in an earlier block does not count: its model may have seen
    its like. Where that leaves nothing, nothing can be measured.

    Args:
        examples: Training examples with groups, and times where the task has them.
        y: ``(n,) int64``, label of each row, 0 or more.
        k: Folds wanted, at least 2.
        seed: Makes the draw.
        own: Rows from this one on are no evidence and move no border in time: each goes where its
            time belongs. ``None`` for none of them.

    Raises:
        DataError: If there are fewer than two groups, or no row counts.
    """
    if not examples.times:
        return fold_groups(examples.groups, y, k, seed)
    if own is not None and own < len(examples):
        return _joined(examples, own, fold_examples(examples.take(range(own)), y[:own], k, seed))
    block = _blocks(np.asarray(examples.times), k)
    counts = _new_groups(examples, block)
    if not counts.any():
        raise DataError(
            "no row of the later half is of a group that does not occur earlier, so that nothing "
            "shows how well new ones are answered.",
            advice="Leave data: time: or data: group: out of the task file, or add later rows.",
        )
    first = np.flatnonzero(block < FIRST)
    groups = [examples.groups[i] for i in first.tolist()]
    # What is asked of the first half is only a temperature; it needs two parts, whatever they are.
    halves = folds(groups, y[first], FIRST, seed) if len(set(groups)) > 1 else first % FIRST
    block[first] = halves
    return Folding(block, counts, forward=True)


def fold_groups(groups: Sequence[str], y: NDArray[np.int64], k: int, seed: int = 0) -> Folding:
    """The folds of :func:`folds`, each answered by a model of all others."""
    return Folding(folds(groups, y, k, seed), np.ones(len(y), np.bool_))


def folds(groups: Sequence[str], y: NDArray[np.int64], k: int, seed: int = 0) -> NDArray[np.int64]:
    """Fold of each row: stratified, and no group in two folds.

    Greedy: groups from the largest to the smallest, in an order drawn by ``seed``, each to the
    fold that has least of its labels (then to the one with fewest rows). Depends on the groups and
    labels, not on the order of the rows. With fewer groups than ``k`` there are as many folds as
    groups.

    Args:
        groups: Group of each of ``n`` rows.
        y: ``(n,) int64``, label of each row, 0 or more.
        k: Folds wanted, at least 2.
        seed: Makes the draw.

    Returns:
        ``(n,) int64`` in ``[0, min(k, number of groups))``; every fold has at least one row.

    Raises:
        ValueError: If ``k`` is below 2 or the lengths differ.
        DataError: If there are fewer than two groups.
    """
    if k < 2 or len(groups) != len(y):
        raise ValueError(f"{k} folds of {len(groups)} groups and {len(y)} labels")
    members: defaultdict[str, list[int]] = defaultdict(list)
    for i, group in enumerate(groups):
        members[group].append(i)
    if len(members) < 2:
        raise DataError(
            "all examples are near-duplicates of each other.",
            advice="At least two different messages are needed to measure anything.",
        )
    k = min(k, len(members))
    labels = y.tolist()
    counts = {group: Counter(labels[i] for i in rows) for group, rows in members.items()}
    order = sorted(members, key=lambda g: (-len(members[g]), draw_number(seed, g)))
    of_label: defaultdict[int, list[int]] = defaultdict(lambda: [0] * k)
    sizes = [0] * k
    fold = np.empty(len(labels), np.int64)
    empty = k
    for position, group in enumerate(order):
        own = counts[group]
        # The last groups go to folds that are still empty, so that none stays so.
        open_folds = [f for f in range(k) if not sizes[f]] if len(order) - position <= empty else (
            range(k)
        )  # fmt: skip
        best = min(
            open_folds, key=lambda f: (sum(n * of_label[c][f] for c, n in own.items()), sizes[f], f)
        )
        empty -= not sizes[best]
        for label, n in own.items():
            of_label[label][best] += n
        sizes[best] += len(members[group])
        fold[members[group]] = best
    return fold


def draw_number(seed: int, name: str) -> bytes:
    """A number that decides in which order names are drawn; the same at every call."""
    return hashlib.sha256(f"{seed}:{name}".encode("utf-8", "surrogatepass")).digest()


def _blocks(times: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """Block of each row: 0 for the earliest half, then 2, 3, … in time; none is empty.

    Raises:
        DataError: If all rows but one have the same time.
    """
    order = np.sort(times)
    n = len(order)
    edges = [n // 2 + (n - n // 2) * i // k for i in range(k)]
    starts = np.unique(order[edges])
    starts = starts[starts > order[1]] if n > 2 else starts[:0]
    if not len(starts):
        raise DataError(
            "the rows to train on have hardly more than one time, so that nothing is later.",
            advice="Leave data: time: out of the task file.",
        )
    block = np.searchsorted(starts, times, side="right")
    return np.where(block > 0, block + FIRST - 1, 0).astype(np.int64)


def _joined(examples: Examples, own: int, folding: Folding) -> Folding:
    """The folding of the first ``own`` rows with the others put in by their times.

    A row whose group one of the others has earlier does not count: its model saw its like.
    """
    times, folds = np.asarray(examples.times), range(FIRST, folding.count)
    begins = np.array([times[:own][folding.fold_of == fold].min() for fold in folds])
    block = np.searchsorted(begins, times[own:], side="right")
    early = dict(zip(examples.groups[:own], folding.fold_of.tolist(), strict=True))
    more = np.where(block > 0, block + FIRST - 1, 0).astype(np.int64)
    for row in np.flatnonzero(block == 0).tolist():
        # Of the two first folds, that of its like.
        more[row] = min(early.get(examples.groups[own + row], 0), FIRST - 1)
    first: dict[str, int] = {}
    for group, at in zip(examples.groups[own:], more.tolist(), strict=True):
        first[group] = min(at, first.get(group, at))
    seen = np.array(
        [
            first.get(group, at) < at
            for group, at in zip(examples.groups[:own], folding.fold_of.tolist(), strict=True)
        ]
    )
    counts = np.concatenate([folding.counts & ~seen, np.zeros(len(more), np.bool_)])
    return Folding(np.concatenate([folding.fold_of, more]), counts, forward=True)


def _new_groups(examples: Examples, block: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Rows outside the first block whose group does not occur in an earlier block."""
    first: dict[str, int] = {}
    for group, at in zip(examples.groups, block.tolist(), strict=True):
        first[group] = min(at, first.get(group, at))
    new = [first[group] == at for group, at in zip(examples.groups, block.tolist(), strict=True)]
    return np.asarray(new, np.bool_) & (block >= FIRST)
