"""What an answer of a language model is worth: how often each label is true where it says one.

Counted on solved examples, each held out of its own count, and drawn towards what nobody has
counted yet: an answer that is right as often as answers are, and else wrong in proportion to how
often labels occur.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from milepost.predictors.prompting.reading import NOTHING

BEFORE = (4.0, 1.0)
"""Right and wrong answers that are taken for granted before any was counted."""

PULL = 10.0
"""Examples that the expectation counts for in each row of counts (``bench/prompt_worth.py``: more
gains hardly any log loss, and fewer turn round answers that were right)."""

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


def prior_of(y: Rows, k: int) -> Array:
    """Share of each label, ``(k,)``, with one example of each taken for granted."""
    counts = np.bincount(y[y >= 0], minlength=k) + 1.0
    return counts / counts.sum()


def counts_of(said: Rows, y: Rows, k: int) -> Array:
    """How often each label ``l`` was true where ``a`` was said: ``(k, k)``, row ``a``."""
    kept = (said != NOTHING) & (y >= 0)
    flat = np.bincount(said[kept] * k + y[kept], minlength=k * k)
    return flat.reshape(k, k).astype(np.float64)


def log_posterior(counts: Array, prior: Array) -> Array:
    """Log of the probability of each label given each answer, ``(..., k, k)``, row per answer.

    Args:
        counts: ``(k, k)``, see ``counts_of``.
        prior: ``(k,)`` share of each label.
    """
    k = len(prior)
    right = float(np.trace(counts)) + BEFORE[0]
    accuracy = right / (float(counts.sum()) + sum(BEFORE))
    others = np.tile(prior, (k, 1))
    np.fill_diagonal(others, 0.0)
    others *= (1.0 - accuracy) / np.maximum(others.sum(axis=1, keepdims=True), 1e-300)
    expected = others + accuracy * np.eye(k)
    found = (counts + PULL * expected) / (counts.sum(axis=1, keepdims=True) + PULL)
    return np.log(found / found.sum(axis=1, keepdims=True))


def evidence(table: Array, prior: Array, said: Rows) -> Array:
    """What answers say for each label beyond its prior, ``(n, k)``; nothing says 0.

    Args:
        table: ``(k, k)`` log posterior.
        prior: ``(k,)``.
        said: ``(n,)`` labels that were said.
    """
    out = np.zeros((len(said), len(prior)))
    spoke = said != NOTHING
    out[spoke] = table[said[spoke]] - np.log(prior)
    return out


def held_out_evidence(said: Rows, y: Rows, prior: Array) -> Array:
    """``evidence`` for solved examples, each by counts that leave it out, ``(n, k)``."""
    k = len(prior)
    counts = counts_of(said, y, k)
    out = np.zeros((len(said), k))
    # Rows that agree in answer and label share their counts: at most k² tables.
    pairs = np.unique(np.stack([said, y], axis=1), axis=0)
    for a, label in pairs.tolist():
        if a == NOTHING:
            continue
        own = counts.copy()
        if label >= 0:
            own[a, label] -= 1.0
        rows = (said == a) & (y == label)
        out[rows] = log_posterior(own, prior)[a] - np.log(prior)
    return out


def fit_weights(parts: Sequence[Array], prior: Array, y: Rows, pull: float = 8.0) -> Array:
    """Weights ``(m,)``, none below 0, with which several askings of one question are added up.

    Answers to phrasings of one question err together, so that adding up all of what each says (the
    naive Bayes of Ask Me Anything, Arora et al. 2022, without its model of dependencies) is sure of
    too much. The weights minimise the log loss of ``log prior + Σ w_j · part_j`` on the solved
    examples, drawn towards 1 / m each.

    Args:
        parts: What each asking says for each label, ``(n, k)`` each.
        prior: ``(k,)``.
        y: ``(n,)`` true labels; rows below 0 are left out.
        pull: Strength of the draw, in examples.
    """
    m = len(parts)
    even = np.full(m, 1.0 / m)
    kept = y >= 0
    if m == 1 or kept.sum() < 2:
        return even
    from scipy.optimize import minimize

    stacked = np.stack([part[kept] for part in parts])
    truth, base, n = y[kept], np.log(prior), int(kept.sum())

    def loss(weights: Array) -> tuple[float, Array]:
        logits = base + np.tensordot(weights, stacked, axes=1)
        logits = logits - logits.max(axis=1, keepdims=True)
        exponentials = np.exp(logits)
        sums = exponentials.sum(axis=1, keepdims=True)
        residual = exponentials / sums
        value = float((np.log(sums[:, 0]) - logits[np.arange(n), truth]).sum())
        residual[np.arange(n), truth] -= 1.0
        gradient = np.einsum("mnk,nk->m", stacked, residual)
        return value + pull * float(((weights - even) ** 2).sum()), gradient + 2 * pull * (
            weights - even
        )

    found = minimize(loss, even, jac=True, method="L-BFGS-B", bounds=[(0.0, 2.0)] * m)
    weights = np.asarray(found.x, np.float64)
    return weights if np.isfinite(weights).all() and weights.sum() > 0 else even
