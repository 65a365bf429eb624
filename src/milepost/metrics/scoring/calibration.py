"""Confidence against accuracy: one temperature, the reliability diagram and its error."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from milepost.entities.scorecard import Calibration, CalibrationBin
from milepost.metrics.inference.intervals import Sampling, wilson
from milepost.metrics.scoring.deciding import decided, is_right

BINS = 15
"""Equal-mass bins of the calibration error; fewer where there are fewer rows."""

_PERFECT_DRAWS = 200
_STEPS = 60
_STRIDE = 0.5
_CLOSE = 1e-10
_FAR = 32.0
_PRIOR = 10.0
"""Precision of the normal prior on the log temperature."""


def fit_temperature(logits: NDArray[np.float64], y: NDArray[np.int64]) -> float:
    """The temperature that minimises the log loss of ``softmax(logits / temperature)``.

    The loss is convex in the inverse temperature (Guo et al. 2017 use its only minimum), so the
    root of its derivative is enclosed and nothing can run away. One pseudo-example that
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

    # The penalised root lies between the root without a prior and a temperature of 1. Logits that
    # are tiny for their worth can have a second one beside 1: the data's own is looked for first.
    free = _root(slope, unit, unit - _FAR if slope(unit) > 0.0 else unit + _FAR)
    return float(spread / np.exp(_root(penalised, free, unit)))


def _root(rising: Callable[[float], float], start: float, end: float) -> float:
    """Where a function changes its sign: walked to from ``start``, then enclosed.

    The false position of the enclosed interval, with the Illinois rule (Dowell & Jarratt 1971):
    some ten evaluations, each of which reads all logits, where bisection takes fifty.

    Args:
        rising: Below 0 to the left, above 0 to the right.
        start: Where to look first.
        end: How far to look, and what is returned where there is no change before it.
    """
    a = b = start
    of_a = of_b = rising(start)
    stride = _STRIDE if end > start else -_STRIDE
    while (of_a > 0.0) == (of_b > 0.0):
        if b == end:
            return end
        a, of_a = b, of_b
        b = b + stride if abs(stride) < abs(end - b) else end
        of_b, stride = rising(b), 2.0 * stride
    for _ in range(_STEPS):
        new = b - of_b * (b - a) / (of_b - of_a)
        moved, of_new = abs(new - b), rising(new)
        if (of_new > 0.0) != (of_b > 0.0):
            a, of_a = b, of_b
        else:
            of_a /= 2.0
        b, of_b = new, of_new
        if moved < _CLOSE:
            break
    return b


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
    right = is_right(decided(probabilities), y).astype(np.float64)
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
