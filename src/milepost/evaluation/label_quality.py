"""Training rows ranked by how probably their label is wrong, with reasons; nothing is changed."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.entities.example import Examples
from milepost.entities.images import called, is_image, named
from milepost.entities.suspect import Removal, Suspect
from milepost.metrics.auditing.confident import (
    best_other,
    confident_labels,
    nearest,
    neighbour_votes,
)
from milepost.metrics.inference.comparison import paired_difference
from milepost.metrics.scoring.confusion import Cells
from milepost.metrics.scoring.deciding import decided

Marked = NDArray[np.bool_]

Answering = Callable[[Marked, Marked], NDArray[np.float64]]
"""Probabilities ``(n, k)`` of all rows from fits to the rows of the first mark ``(n,)``, each of
these answered without its group. Of rows outside the second mark no label is read."""

FEWEST_GROUPS = 2
"""Groups of a label without which a fit could say nothing of it."""

TEXT_CHARS = 300
_QUOTED = 80


@dataclass(frozen=True, slots=True, eq=False)
class Suspicion:
    """What speaks for and against the given label of each of ``n`` rows.

    Attributes:
        first: ``(n, k)`` probabilities from fits to all rows without the row's group.
        cleaned: The same from fits that also leave out every group with a row whose label ``first``
            contradicts: a wrong label cannot vouch for another.
        neighbours: ``(n, m)`` nearest rows of other groups among those that were not left out.
        close: ``(n, m)`` their similarity.
        mean: ``(n, k)`` mean of ``first``, ``cleaned`` and the neighbours' votes.
    """

    first: NDArray[np.float64]
    cleaned: NDArray[np.float64]
    neighbours: NDArray[np.int64]
    close: NDArray[np.float64]
    mean: NDArray[np.float64]

    def of(self, y: NDArray[np.int64]) -> NDArray[np.float64]:
        """One minus the probability of the given label, ``(n,)``; the score of the ranking."""
        return 1.0 - self.mean[np.arange(len(y)), y]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Labelled:
    """What the search for wrong labels works on.

    Attributes:
        vectors: ``(n, d)`` of unit length.
        y: ``(n,) int64`` given labels in ``[0, k)``.
        groups: ``(n,) int64`` near-duplicate groups.
        answering: Fits and answers.
    """

    vectors: NDArray[np.floating]
    y: NDArray[np.int64]
    groups: NDArray[np.int64]
    answering: Answering


def suspicion(rows: Labelled, within: Marked | None = None) -> Suspicion:
    """Three opinions on every label, none of which has seen it.

    Args:
        rows: The training rows.
        within: ``(n,)`` rows whose labels may be read; ``None`` for all.
    """
    y, groups = rows.y, rows.groups
    within = np.ones(len(y), np.bool_) if within is None else within
    first = rows.answering(within, within)
    kept = agreeing_groups(first, y, groups, within)
    cleaned = rows.answering(kept, within)
    near, close = nearest(rows.vectors, groups, kept)
    votes = neighbour_votes(near, close, y, first.shape[1])
    return Suspicion(first, cleaned, near, close, (first + cleaned + votes) / 3.0)


def agreeing_groups(
    probabilities: NDArray[np.float64],
    y: NDArray[np.int64],
    groups: NDArray[np.int64],
    within: Marked | None = None,
) -> Marked:
    """Rows ``(n,)`` of groups in which no label is beaten by another one; others are not marked.

    Of each label its two groups that are beaten by least are marked in any case: without them
    nothing would be known of it, or of one of them without the other.
    """
    within = np.ones(len(y), np.bool_) if within is None else within
    _, other = best_other(probabilities, y)
    lead = np.where(within, other - probabilities[np.arange(len(y)), y], -np.inf)
    _, at = np.unique(groups, return_inverse=True)
    worst = np.full(at.max(initial=-1) + 1, -np.inf)
    np.maximum.at(worst, at, lead)
    kept = worst <= 0
    for label in np.unique(y[within]):
        own = np.unique(at[within & (y == label)])
        kept[own[np.argsort(worst[own], kind="stable")[:FEWEST_GROUPS]]] = True
    return within & kept[at]


def removal(
    metric: str, rows: Labelled, folds: NDArray[np.int64], confidence: float
) -> Removal | None:
    """What leaving out the groups of disagreeing rows does, before anyone does it.

    In each fold the suspects are sought among the other folds alone, and both fits, with and
    without them, answer the fold: the labels that judge had no part in who was left out. They are
    the labels as given, so that a gain counts for less where they are wrong.

    Args:
        metric: A metric of confusion counts.
        rows: The training rows.
        folds: ``(n,) int64`` from 0, no group in two.
        confidence: Of the paired interval.

    Returns:
        The effect on all rows; ``None`` where no fold left anything out.
    """
    y, k, left_out = rows.y, 0, 0
    before, after = np.zeros_like(y), np.zeros_like(y)
    for fold in range(int(folds.max()) + 1):
        judged, within = folds == fold, folds != fold
        found = suspicion(rows, within)
        kept = agreeing_groups(found.mean, y, rows.groups, within)
        k, left_out = found.mean.shape[1], left_out + int((within & ~kept).sum())
        before[judged] = decided(found.first[judged])
        after[judged] = decided(rows.answering(kept, within)[judged])
    if not left_out:
        return None
    cells = Cells.of(y, np.stack([after, before]), k)
    difference, low, high = paired_difference(metric, cells, confidence)
    value = _score(metric, cells)
    return Removal(
        judged="all rows",
        n=len(y),
        before=value - difference,
        after=value,
        difference=difference,
        low=low,
        high=high,
    )


def _score(metric: str, cells: Cells) -> float:
    from milepost.metrics.scoring.classification import METRICS

    return float(METRICS[metric](cells.totals(0)))


def describe(
    examples: Examples,
    labels: tuple[str, ...],
    y: NDArray[np.int64],
    groups: NDArray[np.int64],
    found: Suspicion,
    top: int,
) -> tuple[Suspect, ...]:
    """The ``top`` most suspicious rows with their reasons, most suspicious first."""
    order = np.argsort(-found.of(y), kind="stable")[:top]
    other, probability = best_other(found.mean, y)
    confident = confident_labels(found.first, y)
    return tuple(
        Suspect(
            id=examples.ids[row],
            source=examples.sources[row],
            text=examples.texts[row][:TEXT_CHARS],
            label=labels[int(y[row])],
            suggested=labels[int(other[row])],
            probability=float(found.mean[row, y[row]]),
            suggested_probability=float(probability[row]),
            reasons=(
                *_by_fit(labels, y, found, row),
                *_by_threshold(labels, y, int(confident[row]), row),
                *_by_neighbours(examples, labels, y, found, row),
                *_by_group(examples, labels, y, groups, row),
            ),
        )
        for row in order.tolist()
    )


def _by_fit(labels: tuple[str, ...], y: NDArray[np.int64], found: Suspicion, row: int) -> list[str]:
    given = int(y[row])
    own, best = float(found.first[row, given]), int(found.first[row].argmax())
    if best == given:
        return []
    return [
        f"A head fitted without it and its like gives '{labels[best]}' "
        f"{found.first[row, best]:.2f} and '{labels[given]}' {own:.2f}."
    ]


def _by_threshold(
    labels: tuple[str, ...], y: NDArray[np.int64], confident: int, row: int
) -> list[str]:
    if confident < 0 or confident == int(y[row]):
        return []
    return [
        f"It is as surely '{labels[confident]}' as rows that carry that label are on average "
        "(confident learning)."
    ]


def _by_neighbours(
    examples: Examples,
    labels: tuple[str, ...],
    y: NDArray[np.int64],
    found: Suspicion,
    row: int,
) -> list[str]:
    near = found.neighbours[row][np.isfinite(found.close[row])]
    others = Counter(int(label) for label in y[near] if label != y[row])
    if not others or 2 * sum(others.values()) <= len(near):
        return []
    label, count = others.most_common(1)[0]
    nearest_row = int(near[y[near] == label][0])
    return [
        f"{count} of its {len(near)} nearest neighbours carry '{labels[label]}', such as "
        f"{_quoted(examples.texts[nearest_row])} ({examples.sources[nearest_row]})."
    ]


def _by_group(
    examples: Examples,
    labels: tuple[str, ...],
    y: NDArray[np.int64],
    groups: NDArray[np.int64],
    row: int,
) -> list[str]:
    mates = np.flatnonzero((groups == groups[row]) & (y != y[row]))
    if not len(mates):
        return []
    mate = int(mates[0])
    return [
        f"An almost equal {called(examples.texts)} carries '{labels[int(y[mate])]}': "
        f"{_quoted(examples.texts[mate])} ({examples.sources[mate]})."
    ]


def _quoted(text: str) -> str:
    if is_image(text):
        return named(text)
    text = named(text)
    return f"'{text if len(text) <= _QUOTED else text[: _QUOTED - 1] + '…'}'"
