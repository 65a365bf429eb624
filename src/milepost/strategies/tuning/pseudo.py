"""Labels for unlabeled inputs, given to those that a head is surest of.

Source: self-training (Scudder 1965; Yarowsky 1995), with quotas per label, so that no label takes
over.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from milepost.predictors.base import softmax
from milepost.strategies.tuning.heads import Head, Space

_GROWING = (0.2, 0.6, 1.0)
"""Parts of the share that is believed, round by round; each round learns from the last."""


def _none() -> NDArray[np.int64]:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """Inputs that got a label by themselves.

    Attributes:
        texts: ``m`` inputs, none of them an example.
        y: ``(m,) int64`` index of each one's label.
    """

    texts: tuple[str, ...] = ()
    y: NDArray[np.int64] = field(default_factory=_none)


def told_by_itself(head: Head, space: Space, most: int, share: float) -> Told:
    """The unlabeled inputs of a head's problem whose label is believed: those it is surest of.

    Each label has its share among the examples.

    Args:
        head: Gives labels.
        space: Whose vectors it reads.
        most: How many inputs are looked at, drawn by the problem's seed.
        share: Share of these that is believed, in [0, 1].
    """
    problem = head.problem
    known = set(problem.texts)
    texts = [text for text in dict.fromkeys(problem.unlabeled) if text not in known]
    if len(texts) > most:
        drawn = np.random.default_rng(problem.seed).choice(len(texts), most, replace=False)
        texts = [texts[at] for at in np.sort(drawn).tolist()]
    if not texts:
        return Told()
    vectors = space.vectors(texts)
    rows, told = np.arange(len(problem.texts)), Told()
    shares = np.bincount(problem.y, minlength=len(problem.labels)) / len(problem.y)
    for part in _GROWING:
        weights, bias = head.fit(space, rows, told.texts, told.y)
        given = softmax((vectors @ weights.T + bias).astype(np.float64))
        quotas = np.ceil(shares * part * share * len(texts)).astype(np.int64)
        chosen, labels = _surest(given, quotas)
        told = Told(tuple(texts[at] for at in chosen.tolist()), labels)
    return told


def _surest(
    given: NDArray[np.floating], quotas: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows that each label may have, and that label; a row goes to where it is most probable.

    Args:
        given: ``(n, k)`` probabilities.
        quotas: ``(k,)`` most rows of each label.
    """
    best = given.argmax(axis=1)
    rows: list[NDArray[np.int64]] = [_none()]
    for label, quota in enumerate(quotas.tolist()):
        own = np.flatnonzero(best == label)
        rows.append(own[np.argsort(-given[own, label], kind="stable")][:quota])
    chosen = np.sort(np.concatenate(rows))
    return chosen, best[chosen]
