"""Exact leave-one-out values of a metric, one per cell, in time linear in the cells.

Taking one row away changes the sums of at most two labels, so no metric has to be computed anew.
"""

import numpy as np
from numpy.typing import NDArray

from milepost.metrics.scoring.classification import f1_terms, ratio, recall_terms
from milepost.metrics.scoring.confusion import Cells, Counts
from milepost.metrics.scoring.deciding import is_right


def leave_one_out(metric: str, cells: Cells, predictor: int = 0) -> NDArray[np.float64]:
    """The metric on the sample less one row of each cell, ``(t,)`` (Quenouille 1956).

    Args:
        metric: A key of ``classification.METRICS``.
        cells: At least two rows in all.
        predictor: Which of the ``m`` predictors.

    Raises:
        KeyError: If there is no such metric.
        ValueError: If there are fewer than two rows.
    """
    if cells.n < 2:
        raise ValueError("leaving one out needs at least two rows")
    counts = cells.totals(predictor)
    answers = cells.answers[predictor]
    if metric == "accuracy":
        return (counts.right.sum() - is_right(answers, cells.y)) / (counts.n - 1.0)
    if metric == "micro_f1":
        known = (cells.y >= 0).astype(np.float64)
        size = counts.actual.sum() + counts.n
        return 2.0 * (counts.right.sum() - is_right(answers, cells.y)) / (size - 1.0 - known)
    if metric == "mcc":
        return _mcc(counts, cells.y, answers)
    return _additive(metric, counts, cells.y, answers)


def _additive(
    metric: str, counts: Counts, y: NDArray[np.int64], answers: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Metrics that are a sum of label terms over a sum of label weights."""

    def terms(
        right: NDArray[np.float64], answered: NDArray[np.float64], actual: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if metric == "balanced_accuracy":
            return recall_terms(right, answered, actual)
        if metric == "macro_f1":
            return f1_terms(right, answered, actual)
        if metric == "weighted_f1":
            value, _ = f1_terms(right, answered, actual)
            return value * actual, actual
        raise KeyError(metric)

    top, bottom = terms(counts.right, counts.answered, counts.actual)
    hit = is_right(answers, y).astype(np.float64)
    known, said = y >= 0, answers >= 0
    at, to = np.maximum(y, 0), np.maximum(answers, 0)
    of_actual = terms(counts.right[at] - hit, counts.answered[at] - hit, counts.actual[at] - 1.0)
    of_answer = terms(counts.right[to], counts.answered[to] - 1.0, counts.actual[to])
    sums: list[NDArray[np.float64]] = []
    for whole, actual, answer in zip((top, bottom), of_actual, of_answer, strict=True):
        change = np.where(known, actual - whole[at], 0.0)
        change += np.where(said & (hit == 0), answer - whole[to], 0.0)
        sums.append(whole.sum() + change)
    left = counts.n - 1.0
    if metric == "weighted_f1":
        return sums[0] / left
    mean = ratio(sums[0], sums[1])
    if metric == "macro_f1":
        return mean
    return mean * (counts.actual.sum() - known) / left


def _mcc(counts: Counts, y: NDArray[np.int64], answers: NDArray[np.int64]) -> NDArray[np.float64]:
    """Matthews correlation from its four sums (Gorodkin 2004), each less one row."""
    known, said = y >= 0, answers >= 0
    hit = is_right(answers, y)
    at, to = np.maximum(y, 0), np.maximum(answers, 0)
    n = counts.n - 1.0
    unknown = counts.n - counts.actual.sum()
    silent = counts.n - counts.answered.sum()
    product = (counts.answered * counts.actual).sum() - np.where(said, counts.actual[to], 0.0)
    product = product - np.where(known, counts.answered[at] - hit, 0.0)
    given = np.where(said, counts.answered[to], silent)
    answered = (counts.answered**2).sum() + silent**2 - 2.0 * given + 1.0
    own = np.where(known, counts.actual[at], unknown)
    actual = (counts.actual**2).sum() + unknown**2 - 2.0 * own + 1.0
    spread = np.maximum((n**2 - answered) * (n**2 - actual), 0.0)
    return ratio((counts.right.sum() - hit) * n - product, np.sqrt(spread))
