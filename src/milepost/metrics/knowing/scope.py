"""Telling inputs out of scope from those in scope: scores, their AUROC, and which to take.

Every score is higher for inputs that are further out of scope. None needs an example that is out
of scope but ``own_class``.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.entities.estimate import Estimate
from milepost.metrics.inference.intervals import Measured

Array = NDArray[np.float64]

SCORES = (
    "max_probability",
    "margin",
    "entropy",
    "energy",
    "max_logit",
    "class_mean",
    "mahalanobis",
    "relative_mahalanobis",
    "label_name",
    "own_class",
)
"""Max probability (Hendrycks & Gimpel 2017), margin of the two most probable, entropy, energy (Liu
et al. 2020), largest logit (Hendrycks et al. 2022), cosine to the nearest class mean, Mahalanobis
distance to it (Lee et al. 2018), the same relative to the distance to all (Ren et al. 2021),
cosine to the nearest label name, and how far the label "out of scope", learned as one of many,
leads."""

COMBINED = ("own_class", "max_logit", "relative_mahalanobis", "class_mean")
"""The scores of the combination, which is the mean of their standardised values: one that learned
from examples, one of the head and two of the vectors, which err on different inputs."""

_SHRINKAGE = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """Where vectors of inputs in scope lie.

    Attributes:
        means: ``(c, d) float32``, mean of each class that has examples, not scaled.
        names: ``(k, d) float32``, unit vectors of the label names.
        within: ``(d, d) float32``; ``x @ within`` is white around the class means.
        middle: ``(d,) float32``, mean of all.
        total: ``(d, d) float32``; ``x @ total`` is white around the middle.
    """

    means: NDArray[np.float32]
    names: NDArray[np.float32]
    within: NDArray[np.float32]
    middle: NDArray[np.float32]
    total: NDArray[np.float32]

    @staticmethod
    def of(
        vectors: NDArray[np.float32], y: NDArray[np.int64], names: NDArray[np.float32]
    ) -> "Geometry":
        """Of examples in scope.

        Covariances are shrunk to a multiple of the identity by a tenth (Ledoit & Wolf 2004 in
        form).

        Args:
            vectors: ``(n, d)``, at least one row.
            y: ``(n,)`` classes.
            names: ``(k, d)`` vectors of the label names.
        """
        x = vectors.astype(np.float64)
        present, index = np.unique(y, return_inverse=True)
        means = np.stack([x[y == label].mean(axis=0) for label in present.tolist()])
        middle = x.mean(axis=0)
        norms = np.maximum(np.linalg.norm(names, axis=1, keepdims=True), 1e-12)
        single = np.float32
        return Geometry(
            means.astype(single),
            (names / norms).astype(single),
            _whitening(x - means[index]).astype(single),
            middle.astype(single),
            _whitening(x - middle).astype(single),
        )


def _whitening(centred: Array) -> Array:
    """``(d, d)`` factor of the inverse covariance, shrunk."""
    d = centred.shape[1]
    covariance = centred.T @ centred / len(centred)
    size = max(float(np.trace(covariance)) / d, 1e-9)
    values, axes = np.linalg.eigh(covariance)
    return axes / np.sqrt(np.maximum(values, 0.0) + _SHRINKAGE * size)


def scope_scores(
    logits: Array, vectors: NDArray[np.float32], geometry: Geometry, own: int | None
) -> Array:
    """Every score of every input, ``(n, m) float64``, in the order of ``SCORES``.

    Args:
        logits: ``(n, k)``, calibrated.
        vectors: ``(n, d)``.
        geometry: Of the inputs in scope.
        own: Column of the label that stands for "out of scope"; ``None`` where it was not learned,
            and its score is 0.
    """
    known = logits if own is None else np.delete(logits, own, axis=1)
    top = np.partition(known, -2, axis=1)[:, -2:] if known.shape[1] > 1 else known[:, [0, 0]]
    energy = np.logaddexp.reduce(known, axis=1)
    log_p = known - energy[:, None]
    x = vectors.astype(np.float64)
    means = geometry.means.astype(np.float64)
    length = np.maximum(np.linalg.norm(x, axis=1), 1e-12)
    directions = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    near = _squared(x, means, geometry.within).min(axis=1)
    far = _squared(x, geometry.middle[None, :].astype(np.float64), geometry.total)[:, 0]
    columns = {
        "max_probability": -log_p.max(axis=1),
        "margin": -(top[:, 1] - top[:, 0]),
        "entropy": -(np.exp(log_p) * log_p).sum(axis=1),
        "energy": -energy,
        "max_logit": -known.max(axis=1),
        "class_mean": -(x @ directions.T).max(axis=1) / length,
        "mahalanobis": near,
        "relative_mahalanobis": near - far,
        "label_name": -(x @ geometry.names.T.astype(np.float64)).max(axis=1) / length,
        "own_class": np.zeros(len(x)) if own is None else logits[:, own] - known.max(axis=1),
    }
    return np.stack([columns[name] for name in SCORES], axis=1)


def _squared(x: Array, means: Array, whitening: NDArray[np.float32]) -> Array:
    """Squared distances ``(n, c)`` in the whitened space."""
    root = whitening.astype(np.float64)
    a, b = x @ root, means @ root
    squared = (a**2).sum(axis=1)[:, None] - 2.0 * a @ b.T + (b**2).sum(axis=1)
    return np.maximum(squared, 0.0)


def auroc(score: Array, out: NDArray[np.bool_]) -> Measured:
    """Area under the ROC curve with the number of draws that it is worth.

    The Mann-Whitney statistic, ties counted half, with the variance of DeLong, DeLong &
    Clarke-Pearson (1988). It is worth ``a (1 - a) / v`` draws, never more than the smaller of both
    groups has rows, so that a perfect separation of few rows claims no more than they allow.

    Args:
        score: ``(n,)``, higher for what is out of scope.
        out: ``(n,)``; some are and some are not.

    Raises:
        ValueError: If one of the groups is empty.
    """
    positive, negative = int(out.sum()), int((~out).sum())
    if not (positive and negative):
        raise ValueError("An AUROC needs inputs of both kinds.")
    ranks = _ranks(score)
    of_out = (ranks[out] - _ranks(score[out])) / negative
    of_in = 1.0 - (ranks[~out] - _ranks(score[~out])) / positive
    value = float(of_out.mean())
    variance = float(of_out.var()) / max(positive - 1, 1) + float(of_in.var()) / max(
        negative - 1, 1
    )
    smaller = float(min(positive, negative))
    spread = value * (1.0 - value)
    size = min(spread / variance, smaller) if variance > 0.0 and spread > 0.0 else smaller
    return Measured(
        value=value,
        size=max(size, 1.0),
        chance=0.0,
        n=len(score),
        method="delong_clopper_pearson",
    )


def _ranks(score: Array) -> Array:
    """Ranks from 1, ``(n,)``; equal values share the mean of theirs."""
    _, value, count = np.unique(score, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2.0)[value]


def auroc_estimate(score: Array, out: NDArray[np.bool_], confidence: float) -> Estimate | None:
    """``auroc`` with its interval; ``None`` where one of the groups is empty."""
    if out.all() or not out.any():
        return None
    return auroc(score, out).estimate(confidence)


def choose_score(aurocs: dict[str, Measured], preferred: str) -> str:
    """The preferred score where it is within one standard error of the best, else the best.

    The order of AUROCs is mostly noise where few examples are out of scope; the one-standard-error
    rule is that of Breiman et al. (1984).
    """
    best = max(aurocs, key=lambda name: aurocs[name].value)
    top = aurocs[best]
    error = float(np.sqrt(top.value * (1.0 - top.value) / top.size))
    return preferred if aurocs[preferred].value >= top.value - error else best


def fit_slope(margin: Array, out: NDArray[np.bool_], log_top: Array) -> float:
    """What one unit of the margin is worth in log-odds: the slope with the lowest log loss.

    An input is out of scope with odds ``exp(log_top + slope * margin)`` to one, where ``log_top``
    is the log-probability of its best label, so that both are answered alike at the threshold.
    The loss is convex in the slope; a normal prior on its logarithm keeps perfect separation from
    asking for infinity.

    Args:
        margin: ``(n,)`` score minus threshold.
        out: ``(n,)``.
        log_top: ``(n,)``, at most 0.

    Returns:
        In [0.01, 100].
    """
    from scipy.optimize import minimize_scalar

    def loss(log_slope: float) -> float:
        odds = log_top + np.exp(log_slope) * margin
        return float(np.logaddexp(0.0, np.where(out, -odds, odds)).sum()) + log_slope**2

    found = minimize_scalar(loss, bounds=(np.log(0.01), np.log(100.0)), method="bounded")
    return float(np.exp(found.x))
