"""Slices of neighbouring texts: clusters of their vectors, described by their words."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from milepost.evaluation.slicing.condition import Condition
from milepost.evaluation.slicing.language import FREQUENT_WORDS
from milepost.evaluation.slicing.wording import Words

SIZES = (8, 20, 50)
"""Numbers of clusters; each clustering is a further reading of the same texts."""

_ROUNDS = 12
_TERMS = 4
_SHOWN = 60
_FITTED = 5_000
_PLAIN = re.compile(r"[^\W\d_]{3,}")


def by_cluster(
    texts: Sequence[str], words: Words, vectors: NDArray[np.float32], least: int, seed: int
) -> list[Condition]:
    """Clusters of several sizes.

    Args:
        texts: ``n`` of them.
        words: Their words.
        vectors: ``(n, d)``.
        least: Fewest rows of a slice.
        seed: Of the first centres.
    """
    n = len(texts)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    found: list[Condition] = []
    for size in SIZES:
        if n < 2 * least * size:
            break
        nearest, centres = spherical_k_means(unit, size, seed)
        terms = _terms(words, nearest, size)
        for cluster in range(size):
            mask = nearest == cluster
            if int(mask.sum()) < least:
                continue
            rows = np.flatnonzero(mask)
            middle = texts[int(rows[int((unit[rows] @ centres[cluster]).argmax())])]
            said = ", ".join(terms[cluster]) or "no words in common"
            found.append(
                Condition(
                    description=f'texts about {said} (such as "{_short(middle)}")',
                    kind="cluster",
                    mask=mask,
                    about="cluster",
                )
            )
    return found


def spherical_k_means(
    unit: NDArray[np.float32], size: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """k-means by cosine (Dhillon & Modha 2001), started by k-means++ (Arthur & Vassilvitskii 2007).

    Args:
        unit: ``(n, d)`` of length 1 or 0.
        size: Number of clusters, at most ``n``.
        seed: Of the first centres.

    Returns:
        Cluster of each row ``(n,)`` and the centres ``(size, d)``.
    """
    rng = np.random.default_rng(seed)
    n = len(unit)
    fitted = unit if n <= _FITTED else unit[np.sort(rng.choice(n, _FITTED, replace=False))]
    chosen = [int(rng.integers(len(fitted)))]
    away = 1.0 - (fitted @ fitted[chosen[0]]).astype(np.float64)
    for _ in range(size - 1):
        weight = np.maximum(away, 0.0)
        total = weight.sum()
        share = weight / total if total > 0.0 else np.full(len(fitted), 1.0 / len(fitted))
        chosen.append(int(rng.choice(len(fitted), p=share)))
        away = np.minimum(away, 1.0 - fitted @ fitted[chosen[-1]])
    centres = fitted[chosen].copy()
    for _ in range(_ROUNDS):
        nearest = (fitted @ centres.T).argmax(axis=1)
        members = np.eye(size, dtype=np.float32)[nearest]
        sums = members.T @ fitted
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(lengths > 0.0, sums / np.maximum(lengths, 1e-12), centres)
    return (unit @ centres.T).argmax(axis=1), centres


def _terms(words: Words, nearest: NDArray[np.int64], size: int) -> list[tuple[str, ...]]:
    """The most characteristic words of each cluster: class-based TF-IDF (Grootendorst 2022)."""
    names = [
        word
        for word, rows in words.rows.items()
        if len(rows) >= 2 and _PLAIN.fullmatch(word) and word not in FREQUENT_WORDS
    ]
    if not names:
        return [()] * size
    counts = np.stack([np.bincount(nearest[words.rows[w]], minlength=size) for w in names])
    total = counts.sum(axis=1, keepdims=True)
    mean = counts.sum() / size
    weight = counts / np.maximum(counts.sum(axis=0), 1) * np.log1p(mean / total)
    # A word of one text of a cluster says nothing about the cluster.
    weight = np.where(counts >= 2, weight, 0.0)
    best = np.argsort(-weight, axis=0, kind="stable")[:_TERMS]
    return [
        tuple(names[i] for i in best[:, cluster] if weight[i, cluster] > 0.0)
        for cluster in range(size)
    ]


def _short(text: str) -> str:
    line = " ".join(text.split()).replace('"', "'")
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1].rstrip() + "…"
