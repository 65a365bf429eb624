"""Classification metrics as functions of confusion counts, vectorised over resamples.

Conventions, the same for every metric:

- A row whose actual label is unknown to the task counts as wrong. It enters ``accuracy`` and
  ``mcc`` as a row that nothing can get right, ``macro_f1``, ``micro_f1`` and ``weighted_f1`` as a
  false alarm of the label that was answered, and it lowers ``balanced_accuracy`` by its share of
  the rows.
- A row without an answer counts as wrong too: it enters every metric as a row of its label that
  was missed, and ``micro_f1`` and ``mcc`` as one of an answer that is never right.
- ``balanced_accuracy`` averages over the labels that have examples; ``macro_f1`` over the labels
  that have examples or were answered, where a label answered but never right scores 0.
- A ratio without a denominator is 0: ``mcc`` of a sample with one label, ``macro_f1`` of nothing.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from milepost.metrics.scoring.confusion import Cells, Counts

Metric = Callable[[Counts], NDArray[np.float64]]

_FLOOR = 1e-7
"""Smallest probability that a logarithm is taken of; about the resolution of float32."""


def accuracy(counts: Counts) -> NDArray[np.float64]:
    """Share of rows that were right, in [0, 1]."""
    return ratio(counts.right.sum(axis=-1), counts.n)


def micro_f1(counts: Counts) -> NDArray[np.float64]:
    """F1 of all labels' counts together, in [0, 1]; accuracy where every label is known."""
    return ratio(2.0 * counts.right.sum(axis=-1), counts.actual.sum(axis=-1) + counts.n)


def balanced_accuracy(counts: Counts) -> NDArray[np.float64]:
    """Mean recall over labels (Brodersen et al. 2010) times the share of known labels, [0, 1]."""
    terms, present = recall_terms(counts.right, counts.answered, counts.actual)
    mean = ratio(terms.sum(axis=-1), present.sum(axis=-1))
    return mean * ratio(counts.actual.sum(axis=-1), counts.n)


def macro_f1(counts: Counts) -> NDArray[np.float64]:
    """Unweighted mean of the labels' F1 over labels seen or answered, in [0, 1]."""
    terms, present = f1_terms(counts.right, counts.answered, counts.actual)
    return ratio(terms.sum(axis=-1), present.sum(axis=-1))


def weighted_f1(counts: Counts) -> NDArray[np.float64]:
    """Mean of the labels' F1 weighted by their examples, in [0, 1]; unknown rows weigh as 0."""
    terms, _ = f1_terms(counts.right, counts.answered, counts.actual)
    return ratio((terms * counts.actual).sum(axis=-1), counts.n)


def recall_terms(
    right: NDArray[np.float64], answered: NDArray[np.float64], actual: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Recall of each label, and 1 where the label has examples (0 elsewhere)."""
    del answered
    return ratio(right, actual), (actual > 0).astype(np.float64)


def f1_terms(
    right: NDArray[np.float64], answered: NDArray[np.float64], actual: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """F1 of each label (van Rijsbergen 1979), and 1 where it was seen or answered."""
    size = actual + answered
    return ratio(2.0 * right, size), (size > 0).astype(np.float64)


def mcc(counts: Counts) -> NDArray[np.float64]:
    """Matthews correlation for any number of labels (Gorodkin 2004), in [-1, 1]."""
    n = counts.n
    unknown = n - counts.actual.sum(axis=-1)
    covariance = counts.right.sum(axis=-1) * n - (counts.answered * counts.actual).sum(axis=-1)
    silent = n - counts.answered.sum(axis=-1)
    spread_answered = n**2 - (counts.answered**2).sum(axis=-1) - silent**2
    spread_actual = n**2 - (counts.actual**2).sum(axis=-1) - unknown**2
    return ratio(covariance, np.sqrt(np.maximum(spread_answered * spread_actual, 0.0)))


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "accuracy": accuracy,
        "balanced_accuracy": balanced_accuracy,
        "macro_f1": macro_f1,
        "mcc": mcc,
        "micro_f1": micro_f1,
        "weighted_f1": weighted_f1,
    }
)
"""Metrics by name; higher is better for all of them."""


def score(metric: str, y: NDArray[np.int64], answers: NDArray[np.int64], k: int) -> float:
    """One metric of one set of answers.

    Args:
        metric: A key of ``METRICS``.
        y: ``(n,)`` actual labels in ``[-1, k)``.
        answers: ``(n,)`` answered labels in ``[-1, k)``.
        k: Number of labels.

    Raises:
        KeyError: If there is no such metric.
        ValueError: If shapes differ, nothing is given or a label is out of range.
    """
    return float(METRICS[metric](Cells.of(y, answers, k).totals()))


def log_loss_rows(y: NDArray[np.int64], probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """Negative log-probability of the actual label per row, ``(n,)`` in nats (Good 1952).

    Probabilities are cut at 1e-7, so that a row is at most 16.1; rows with an unknown label get
    that much.
    """
    return -np.log(np.clip(_of_actual(y, probabilities), _FLOOR, 1.0))


def brier_rows(y: NDArray[np.int64], probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """Squared distance to the actual label per row, ``(n,)`` in [0, 2] (Brier 1950)."""
    squares = (probabilities.astype(np.float64) ** 2).sum(axis=1)
    return squares - 2.0 * _of_actual(y, probabilities) + 1.0


def _of_actual(y: NDArray[np.int64], probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probability given to the actual label; 0 for an unknown one."""
    given = probabilities[np.arange(len(y)), np.maximum(y, 0)].astype(np.float64)
    return np.where(y >= 0, given, 0.0)


def ratio(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> NDArray[np.float64]:
    """``top / bottom``, 0 where ``bottom`` is 0; shapes must agree."""
    top = np.asarray(top, np.float64)
    return np.divide(top, bottom, out=np.zeros_like(top), where=np.asarray(bottom) > 0)
