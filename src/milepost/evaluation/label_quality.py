"""Training rows ranked by how probably their label is wrong, with reasons; nothing is changed."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.entities.example import Examples
from milepost.entities.suspect import Removal, Suspect
from milepost.metrics.comparison import paired_difference
from milepost.metrics.confident import (
    best_other,
    confident_labels,
    nearest,
    neighbour_votes,
)
from milepost.metrics.confusion import Cells

Answering = Callable[[NDArray[np.bool_]], NDArray[np.float64]]
"""Probabilities ``(n, k)`` of all rows from fits to the rows that are marked ``(n,)``, each row of
a marked group answered without its group."""

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


def suspicion(
    vectors: NDArray[np.floating],
    y: NDArray[np.int64],
    groups: NDArray[np.int64],
    answering: Answering,
) -> Suspicion:
    """Three opinions on every label, none of which has seen it.

    Args:
        vectors: ``(n, d)`` of unit length.
        y: ``(n,) int64`` given labels in ``[0, k)``.
        groups: ``(n,) int64`` near-duplicate groups.
        answering: Fits and answers.
    """
    first = answering(np.ones(len(y), np.bool_))
    kept = agreeing_groups(first, y, groups)
    cleaned = answering(kept)
    rows, close = nearest(vectors, groups, kept)
    votes = neighbour_votes(rows, close, y, first.shape[1])
    return Suspicion(first, cleaned, rows, close, (first + cleaned + votes) / 3.0)


def agreeing_groups(
    probabilities: NDArray[np.float64], y: NDArray[np.int64], groups: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Rows of groups in which no label is beaten by another one, ``(n,)``."""
    _, other = best_other(probabilities, y)
    beaten = other > probabilities[np.arange(len(y)), y]
    return ~np.isin(groups, groups[beaten])


def removal(
    metric: str,
    y: NDArray[np.int64],
    found: Suspicion,
    groups: NDArray[np.int64],
    answering: Answering,
    confidence: float,
) -> tuple[int, tuple[Removal, ...]]:
    """What leaving out the disagreeing rows' groups does, before anyone does it.

    Both fits answer every row without its group. On unsuspected rows the suspects' own labels,
    which may be wrong, judge nothing; but those rows are the ones whose labels the fit with all
    rows did not contradict, so that a gain there is understated. On all rows the suspects are
    judged by the labels under suspicion, which understates it more.

    Returns:
        Rows left out, and the effect on unsuspected rows and on all; nothing where none is left
        out.
    """
    kept = agreeing_groups(found.mean, y, groups)
    if kept.all():
        return 0, ()
    before, after = found.first.argmax(axis=1), answering(kept).argmax(axis=1)
    k = found.mean.shape[1]
    effects: list[Removal] = []
    for judged, rows in (("unsuspected rows", kept), ("all rows", np.ones(len(y), np.bool_))):
        if rows.sum() < 2:
            continue
        cells = Cells.of(y[rows], np.stack([after[rows], before[rows]]), k)
        difference, low, high = paired_difference(metric, cells, confidence)
        value = _score(metric, cells)
        effects.append(
            Removal(
                judged=judged,
                n=int(rows.sum()),
                before=value - difference,
                after=value,
                difference=difference,
                low=low,
                high=high,
            )
        )
    return int((~kept).sum()), tuple(effects)


def _score(metric: str, cells: Cells) -> float:
    from milepost.metrics.classification import METRICS

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
        f"An almost equal text carries '{labels[int(y[mate])]}': {_quoted(examples.texts[mate])} "
        f"({examples.sources[mate]})."
    ]


def _quoted(text: str) -> str:
    return f"'{text if len(text) <= _QUOTED else text[: _QUOTED - 1] + '…'}'"
