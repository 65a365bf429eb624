"""How probably a given label is wrong: thresholds of confident learning, votes of neighbours."""

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 10
_SHARPNESS = 0.1
_SMALLEST = 1e-6
_CHUNK = 4_000_000


def class_thresholds(
    probabilities: NDArray[np.floating], y: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Mean probability of each label among the rows that carry it (Northcutt et al. 2021, eq. 2).

    Args:
        probabilities: ``(n, k)``, each row from a fit without it.
        y: ``(n,) int64`` given labels in ``[0, k)``.

    Returns:
        ``(k,) float64``; infinite for a label without a row, which nothing can be confident of.
    """
    k = probabilities.shape[1]
    counts = np.bincount(y, minlength=k).astype(np.float64)
    own = probabilities[np.arange(len(y)), y].astype(np.float64)
    sums = np.bincount(y, weights=own, minlength=k)
    return np.divide(sums, counts, out=np.full(k, np.inf), where=counts > 0)


def confident_labels(
    probabilities: NDArray[np.floating], y: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The label that each row is confidently of, ``(n,) int64``; -1 where there is none.

    A row is confidently of the most probable label among those whose threshold it reaches
    (Northcutt et al. 2021, eq. 1). Off the diagonal of given and confident labels it is suspected.
    """
    reached = probabilities >= class_thresholds(probabilities, y)[None, :]
    best = np.where(reached, probabilities, -1.0).argmax(axis=1)
    return np.where(reached.any(axis=1), best, -1)


def best_other(
    probabilities: NDArray[np.floating], y: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The most probable label besides the given one, and its probability, ``(n,)`` each."""
    rest = np.array(probabilities, np.float64)
    rows = np.arange(len(y))
    rest[rows, y] = -np.inf
    label = rest.argmax(axis=1)
    return label, rest[rows, label]


def nearest(
    vectors: NDArray[np.floating], groups: NDArray[np.int64], among: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The nearest rows of other groups by inner product, nearest first.

    Args:
        vectors: ``(n, d)`` of unit length.
        groups: ``(n,) int64``; a row's own group is never its neighbour.
        among: ``(n,)`` rows that may be neighbours.

    Returns:
        Rows ``(n, m) int64`` and similarities ``(n, m)``, ``m`` at most ``NEIGHBOURS``; -inf where
        there are fewer.
    """
    x = np.asarray(vectors, np.float32)
    kept = np.flatnonzero(among)
    m = min(NEIGHBOURS, len(kept))
    rows = np.zeros((len(x), m), np.int64)
    close = np.full((len(x), m), -np.inf)
    step = max(1, _CHUNK // max(len(kept), 1))
    for start in range(0, len(x) if m else 0, step):
        part = slice(start, start + step)
        similar = (x[part] @ x[kept].T).astype(np.float64)
        similar[groups[part][:, None] == groups[kept][None, :]] = -np.inf
        found = np.argpartition(-similar, m - 1, axis=1)[:, :m]
        values = np.take_along_axis(similar, found, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        rows[part] = kept[np.take_along_axis(found, order, axis=1)]
        close[part] = np.take_along_axis(values, order, axis=1)
    return rows, close


def neighbour_votes(
    rows: NDArray[np.int64], close: NDArray[np.float64], y: NDArray[np.int64], k: int
) -> NDArray[np.float64]:
    """Share of each label among the neighbours, ``(n, k)``, nearer ones counting more.

    A neighbour weighs ``exp((similarity - 1) / 0.1)``; every label gets a millionth, so that a row
    without neighbours gives all labels alike.
    """
    weights = np.where(np.isfinite(close), np.exp((close - 1.0) / _SHARPNESS), 0.0)
    total = weights.sum(axis=1, keepdims=True)
    weights = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    votes = np.full((len(rows), k), _SMALLEST)
    at = np.arange(len(rows))
    for column in range(rows.shape[1]):
        votes[at, y[rows[:, column]]] += weights[:, column]
    return votes / votes.sum(axis=1, keepdims=True)
