"""Nearest vectors, exactly: a product a block, and what is best of it."""

import numpy as np
from numpy.typing import NDArray

_ELEMENTS = 4_000_000
"""Similarities that are held at once: about 16 MB."""


def nearest(
    queries: NDArray[np.float32], vectors: NDArray[np.float32], most: int
) -> NDArray[np.int64]:
    """Rows of the vectors that are most like each query, ``(n, min(most, m)) int64``, best first.

    Args:
        queries: ``(n, d)`` of unit length.
        vectors: ``(m, d)`` of unit length.
        most: Wanted for each query, at least 1.
    """
    kept = min(most, len(vectors))
    found = np.zeros((len(queries), kept), np.int64)
    step = max(1, _ELEMENTS // max(len(vectors), 1))
    for start in range(0, len(queries), step):
        part = queries[start : start + step] @ vectors.T
        found[start : start + step] = best(part, kept)
    return found


def best(scores: NDArray[np.floating], most: int) -> NDArray[np.int64]:
    """Columns of the highest scores of each row ``(n, m)``: ``(n, most)``, best first.

    Of equal ones the first goes first.
    """
    kept = min(most, scores.shape[1])
    if not kept:
        return np.zeros((len(scores), 0), np.int64)
    if kept < scores.shape[1]:
        # What ties with the last one is cut by its place, so that it does not depend on numpy.
        least = np.partition(scores, -kept, axis=1)[:, -kept]
        masked = np.where(scores >= least[:, None], scores, -np.inf)
        return np.argsort(-masked, axis=1, kind="stable")[:, :kept]
    return np.argsort(-scores, axis=1, kind="stable")
