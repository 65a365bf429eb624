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

NEIGHBOURS = (0.025, 0.05, 0.1)
"""Shares of the texts that are taken as the neighbourhood of a centre."""

_ROUNDS = 12
_VOCABULARY = 3_000
_TERMS = 4
_SHOWN = 60
_FITTED = 5_000
_PLAIN = re.compile(r"[^\W\d_]{3,}")


def by_cluster(
    texts: Sequence[str], words: Words, vectors: NDArray[np.float32], least: int, seed: int
) -> list[Condition]:
    """Clusters of several sizes, and the nearest texts of each centre of the finest clustering.

    Clusters part the texts, so that a topic on a border is in two of them; neighbourhoods of
    several sizes overlap and meet it.

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
    masks: list[NDArray[np.bool_]] = []
    near = np.zeros((n, 0), np.float32)
    for size in SIZES:
        if n < 2 * least * size:
            break
        nearest, centres = spherical_k_means(unit, size, seed)
        masks += [nearest == cluster for cluster in range(size)]
        near = unit @ centres.T
    for share in NEIGHBOURS:
        # The nearest rows first; of equally near ones all.
        edge = np.sort(near, axis=0)[-max(int(share * n), 1)]
        masks += list((near >= edge).T)
    kept = [mask for mask in masks if int(mask.sum()) >= least]
    return _described(texts, words, unit, kept)


def _described(
    texts: Sequence[str], words: Words, unit: NDArray[np.float32], masks: list[NDArray[np.bool_]]
) -> list[Condition]:
    """Each slice by its most characteristic words and its text in the middle."""
    found: list[Condition] = []
    for mask, terms in zip(masks, _terms(words, masks), strict=True):
        rows = np.flatnonzero(mask)
        middle = texts[int(rows[int((unit[rows] @ unit[rows].mean(axis=0)).argmax())])]
        said = ", ".join(terms) or "no words in common"
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


def _terms(words: Words, masks: list[NDArray[np.bool_]]) -> list[tuple[str, ...]]:
    """The most characteristic words of each slice: class-based TF-IDF (Grootendorst 2022)."""
    names = [
        word
        for word, rows in words.rows.items()
        if len(rows) >= 2 and _PLAIN.fullmatch(word) and word not in FREQUENT_WORDS
    ][:_VOCABULARY]
    if not names or not masks:
        return [()] * len(masks)
    inside = np.stack(masks, axis=1).astype(np.float32)
    counts = np.stack([inside[words.rows[word]].sum(axis=0) for word in names])
    total = np.array([len(words.rows[word]) for word in names], np.float64)[:, None]
    weight = (
        counts / np.maximum(counts.sum(axis=0), 1.0) * np.log1p(counts.mean() * len(names) / total)
    )
    # A word of one text of a slice says nothing about the slice.
    weight = np.where(counts >= 2.0, weight, 0.0)
    best = np.argsort(-weight, axis=0, kind="stable")[:_TERMS]
    return [
        tuple(names[i] for i in best[:, at].tolist() if weight[i, at] > 0.0)
        for at in range(len(masks))
    ]


def _short(text: str) -> str:
    line = " ".join(text.split()).replace('"', "'")
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1].rstrip() + "…"
