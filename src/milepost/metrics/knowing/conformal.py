"""Conformal prediction sets: sets of labels that hold the right one as often as they say.

The guarantee is that of split conformal prediction (Vovk et al. 2005): when the rows that set the
threshold and the rows to come are exchangeable, the set holds the right label with probability at
least ``coverage``, whatever the model. It is about all inputs together and no promise for each
label or each kind of input.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Score = Literal["lac", "aps"]
"""``lac``: one minus the label's probability, the smallest sets on average (Sadinle, Lei &
Wasserman 2019). ``aps``: the probability of all labels down to it, sets that grow where the model
is unsure (Romano, Sesia & Candes 2020, without randomisation)."""


def label_scores(probabilities: NDArray[np.floating], score: Score = "lac") -> NDArray[np.float64]:
    """How badly each label fits each row.

    Args:
        probabilities: ``(n, k)``, rows sum to 1.
        score: Which score.

    Returns:
        ``(n, k) float64`` in [0, 1], up to rounding.
    """
    p = np.asarray(probabilities, np.float64)
    if score == "lac":
        return 1.0 - p
    order = np.argsort(-p, axis=1, kind="stable")
    down_to = np.cumsum(np.take_along_axis(p, order, axis=1), axis=1)
    scores = np.empty_like(p)
    np.put_along_axis(scores, order, down_to, axis=1)
    return scores


def actual_scores(
    probabilities: NDArray[np.floating], y: NDArray[np.int64], score: Score = "lac"
) -> NDArray[np.float64]:
    """The score of each row's actual label, ``(n,)``; infinite for ``-1``, which no set can hold.

    Args:
        probabilities: ``(n, k)``.
        y: ``(n,)`` in ``[-1, k)``.
        score: Which score.
    """
    scores = label_scores(probabilities, score)[np.arange(len(y)), np.maximum(y, 0)]
    return np.where(y < 0, np.inf, scores)


def conformal_threshold(
    scores: NDArray[np.floating], coverage: float, confidence: float | None = None
) -> float:
    """The smallest score up to which a set must reach; infinite where so few rows show none.

    Without ``confidence`` the ``ceil((n + 1) * coverage)``-th smallest: sets cover ``coverage`` on
    average over draws of the rows, so that about every second threshold covers somewhat less. With
    it the threshold itself is good: with probability ``confidence`` over the rows, it covers at
    least ``coverage`` of what is to come (Vovk 2012, training-conditional validity; the one-sided
    tolerance limit of Wilks 1941).

    Args:
        scores: ``(n,)`` scores of the actual labels of rows that did not fit the model.
        coverage: What the sets promise, in (0, 1).
        confidence: Of the threshold, in (0, 1); ``None`` promises the average.
    """
    n = len(scores)
    if confidence is None:
        # Rounded first: 10 * 0.9 must not become 10 by an error of the last bit.
        rank = int(np.ceil(round((n + 1) * coverage, 9)))
    else:
        from scipy.special import bdtr

        # The r-th smallest covers enough unless r or more of n scores lie in the lower share.
        sure = np.flatnonzero(bdtr(np.arange(n), n, coverage) >= confidence)
        rank = int(sure[0]) + 1 if len(sure) else n + 1
    return float(np.sort(scores)[rank - 1]) if rank <= n else float("inf")


def prediction_sets(
    probabilities: NDArray[np.floating], threshold: float, score: Score = "lac"
) -> NDArray[np.bool_]:
    """Which labels are in each row's set, ``(n, k)``.

    The most probable label is always among them: that can only cover more, and nobody can work
    with an empty set.
    """
    sets = label_scores(probabilities, score) <= threshold
    sets[np.arange(len(sets)), np.argmax(probabilities, axis=1)] = True
    return sets


def covered(sets: NDArray[np.bool_], y: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each row's set holds its actual label, ``(n,)``; never for ``-1``."""
    return sets[np.arange(len(y)), np.maximum(y, 0)] & (y >= 0)
