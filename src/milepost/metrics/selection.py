"""What the best of several candidates is worth when it was chosen on the same predictions.

The best of several looks better than it is. The correction follows bootstrap bias-corrected
cross-validation (BBC-CV; Tsamardinos, Greasidou & Borboudakis 2018): the choice is repeated on
resamples of the out-of-fold predictions, and the chosen one is judged on what it was not chosen
by. Where BBC-CV judges on the rows left out of the resample, about a third of all, this module
uses the rows' exact counterweight: what a resample adds to a candidate's score, the rows left out
take away. The expectation is the same for a mean of rows; there is less noise, and metrics such as
macro F1 are never computed on a third of the rows, where rare labels are missing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.entities.scorecard import Estimate
from milepost.metrics.classification import METRICS
from milepost.metrics.confusion import Cells
from milepost.metrics.intervals import Sampling, at_value, measure


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The chosen candidate and what it is worth.

    Attributes:
        chosen: Row of the chosen candidate: the largest metric, the first one on ties.
        naive: Its metric on the predictions that it was chosen on.
        estimate: The metric with the optimism removed, and its interval.
        optimism: ``naive`` minus the corrected value, at least 0.
    """

    chosen: int
    naive: float
    estimate: Estimate
    optimism: float


def best_of(
    metric: str,
    y: NDArray[np.int64],
    answers: NDArray[np.int64],
    k: int,
    sampling: Sampling | None = None,
) -> Selection:
    """Choose the best candidate and remove the optimism of having chosen it.

    Args:
        metric: A key of ``classification.METRICS``.
        y: ``(n,)`` actual labels in ``[-1, k)``.
        answers: ``(m, n)`` out-of-fold answers of the candidates, in ``[0, k)``.
        k: Number of labels.
        sampling: Confidence, resamples and seed; the defaults when ``None``.

    Raises:
        KeyError: If there is no such metric.
        ValueError: If shapes differ, nothing is given or a label is out of range.
    """
    sampling = sampling or Sampling()
    cells = Cells.of(y, answers, k)
    found = np.array([METRICS[metric](cells.totals(i)) for i in range(len(cells.answers))])
    chosen = int(found.argmax())
    naive = float(found[chosen])
    value = naive
    method_suffix = ""
    if len(found) > 1:
        value = min(naive, _corrected(metric, cells, found, sampling))
        method_suffix = "_bbc"
    measured = measure(metric, Cells.of(y, np.atleast_2d(answers)[chosen], k))
    corrected = at_value(measured, value, measured.method + method_suffix)
    return Selection(
        chosen=chosen,
        naive=naive,
        estimate=corrected.estimate(sampling.confidence),
        optimism=naive - value,
    )


def _corrected(metric: str, cells: Cells, found: NDArray[np.float64], sampling: Sampling) -> float:
    """Mean over resamples of the winner's score less what the resample added to it."""
    rng = np.random.default_rng(sampling.seed)
    drawn = np.concatenate(
        [
            np.stack([METRICS[metric](cells.sums(weights, i)) for i in range(len(found))], axis=1)
            for weights in cells.resamples(sampling.resamples, rng)
        ]
    )
    # A resample misses rare labels, which lowers some metrics for every candidate alike. That is
    # no optimism of choosing, so each candidate's noise is centred on its own mean.
    noise = drawn - drawn.mean(axis=0)
    winner = (found + noise).argmax(axis=1)
    rows = np.arange(len(winner))
    return float((found[winner] - noise[rows, winner]).mean())
