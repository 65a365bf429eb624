"""Confidence against accuracy: one temperature, the reliability diagram and its error."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from milepost.entities.scorecard import Calibration, CalibrationBin
from milepost.metrics.intervals import Sampling, wilson

BINS = 15
"""Equal-mass bins of the calibration error; fewer where there are fewer rows."""

_PERFECT_DRAWS = 200
_STEPS = 60
_PRIOR = 10.0
"""Precision of the normal prior on the log temperature."""


def fit_temperature(logits: NDArray[np.float64], y: NDArray[np.int64]) -> float:
    """The temperature that minimises the log loss of ``softmax(logits / temperature)``.

    The loss is convex in the inverse temperature (Guo et al. 2017 use its only minimum), so the
    root of its derivative is found by bisection and nothing can run away. One pseudo-example that
    carries every label equally is added, in the spirit of Platt (1999): logits without a single
    error would otherwise ask for a temperature of 0. A normal prior on the log of the temperature,
    centred at 1, keeps a dozen rows from flattening or sharpening everything; at some hundred rows
    it hardly matters.

    Args:
        logits: ``(n, k)``, finite, not used to fit the model that gave them.
        y: ``(n,)`` actual labels in ``[-1, k)``; rows with ``-1`` are left out.

    Returns:
        A temperature > 0; 1.0 where there is nothing to fit it on.
    """
    logits, y = logits[y >= 0].astype(np.float64), y[y >= 0]
    spread = float(np.abs(logits - logits.mean(axis=1, keepdims=True)).max()) if len(y) else 0.0
    if not np.isfinite(spread) or spread <= 0.0:
        return 1.0
    scaled = (logits - logits.max(axis=1, keepdims=True)) / spread
    # Target of the linear term: the actual label, and the mean label of the pseudo-example.
    target = float(scaled[np.arange(len(y)), y].sum()) + float(scaled.mean())

    def slope(log_inverse: float) -> float:
        powers = np.exp(scaled * np.exp(log_inverse))
        expected = (powers * scaled).sum(axis=1) / powers.sum(axis=1)
        return float(expected.sum() + expected.mean()) - target

    unit = float(np.log(spread))  # where the temperature is 1

    def penalised(log_inverse: float) -> float:
        return np.exp(log_inverse) * slope(log_inverse) + _PRIOR * (log_inverse - unit)

    # The penalised root lies between the root without a prior and a temperature of 1.
    free = _root(slope, float(np.log(1e-4)), float(np.log(1e6)))
    best = _root(penalised, min(free, unit), max(free, unit))
    return float(spread / np.exp(best))


def _root(rising: Callable[[float], float], low: float, high: float) -> float:
    """Where a function goes from negative to positive, by bisection."""
    for _ in range(_STEPS):
        middle = (low + high) / 2.0
        low, high = (low, middle) if rising(middle) > 0.0 else (middle, high)
    return (low + high) / 2.0


def calibration(
    y: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    temperature: float,
    sampling: Sampling | None = None,
) -> Calibration:
    """Calibration error of the most probable label, with the points of its diagram.

    The error is measured in equal-mass bins (Nixon et al. 2019) and is biased upwards: even a
    perfectly calibrated model shows some (Roelofs et al. 2022). ``ece_if_perfect`` is that much,
    by drawing right and wrong from the stated confidences. Bins have Wilson (1927) intervals.

    Args:
        y: ``(n,)`` actual labels in ``[-1, k)``; ``-1`` counts as wrong. At least one row.
        probabilities: ``(n, k)``.
        temperature: Temperature that gave them; reported only.
        sampling: Confidence and seed; the defaults when ``None``.
    """
    sampling = sampling or Sampling()
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = (probabilities.argmax(axis=1) == y).astype(np.float64)
    order = np.argsort(confidence, kind="stable")
    confidence, right = confidence[order], right[order]
    n = len(y)
    starts = (np.arange(min(BINS, n)) * n) // min(BINS, n)
    sizes = np.diff(np.append(starts, n)).astype(np.float64)
    stated = np.add.reduceat(confidence, starts)
    observed = np.add.reduceat(right, starts)
    rng = np.random.default_rng(sampling.seed)
    perfect = 0.0
    for _ in range(_PERFECT_DRAWS):
        drawn = np.add.reduceat((rng.random(n) < confidence).astype(np.float64), starts)
        perfect += float(np.abs(drawn - stated).sum()) / n
    low, high = wilson(observed, sizes, sampling.confidence)
    return Calibration(
        ece=float(np.abs(observed - stated).sum()) / n,
        ece_if_perfect=perfect / _PERFECT_DRAWS,
        temperature=temperature,
        bins=tuple(
            CalibrationBin(
                confidence=float(stated[i] / sizes[i]),
                accuracy=float(observed[i] / sizes[i]),
                low=float(low[i]),
                high=float(high[i]),
                n=int(sizes[i]),
            )
            for i in range(len(starts))
        ),
    )
