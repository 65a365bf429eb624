"""From which probability each of any number of labels is answered, so that F1 is highest.

The best threshold of a calibrated model lies below one half: at half of the highest F1 that can be
had (Lipton, Elkan & Narayanaswamy 2014). It is the same for all labels where all are counted
together, and one for each where labels count alike. A label with few examples says little about
its own, and is drawn to that of all labels.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

WEIGHTS: Mapping[str, float] = MappingProxyType({"micro_f1": 10.0, "macro_f1": 3.0})
"""Measures that thresholds are chosen for, each with how many examples of a label that hold count
as much as what is known of all labels together. Chosen on intents of banks and hotels with 80 to
1,900 examples, where neither is sharp."""

_LOW, _HIGH = 0.01, 0.99


def chosen_thresholds(
    probabilities: NDArray[np.float32], y: NDArray[Any], metric: str
) -> NDArray[np.float32]:
    """The threshold of each label, ``(k,) float32`` in [0.01, 0.99].

    Args:
        probabilities: ``(n, k)``, of rows that were not used to fit what gave them.
        y: ``(n, ≥ k)``, above 0 where a label holds.
        metric: A key of ``WEIGHTS``.
    """
    k = probabilities.shape[1]
    holds = y[:, :k] > 0
    if not holds.any():
        return np.full(k, 0.5, np.float32)
    common = _odds(_best(probabilities.ravel(), holds.ravel()))
    found = np.full(k, common)
    for label in np.flatnonzero(holds.any(axis=0)).tolist():
        share = holds[:, label].sum() / (holds[:, label].sum() + WEIGHTS[metric])
        own = _odds(_best(probabilities[:, label], holds[:, label]))
        found[label] = share * own + (1.0 - share) * common
    return (1.0 / (1.0 + np.exp(-found))).astype(np.float32)


def _best(probabilities: NDArray[np.float32], holds: NDArray[np.bool_]) -> float:
    """The threshold with the highest F1: halfway to the next probability below it."""
    order = np.argsort(-probabilities, kind="stable")
    sorted_down = probabilities[order].astype(np.float64)
    right = np.cumsum(holds[order])
    f1 = 2.0 * right / (holds.sum() + np.arange(1, len(order) + 1))
    # Equal probabilities are answered together, or not at all.
    f1[:-1][sorted_down[1:] == sorted_down[:-1]] = -1.0
    best = int(f1.argmax())
    below = sorted_down[best + 1] if best + 1 < len(order) else 0.0
    return float(sorted_down[best] + below) / 2.0


def _odds(threshold: float) -> float:
    bounded = min(max(threshold, _LOW), _HIGH)
    return float(np.log(bounded / (1.0 - bounded)))
