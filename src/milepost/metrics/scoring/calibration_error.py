"""The calibration error as a measure: corrected for its bias, with bounds and a paired test."""

import numpy as np
from numpy.typing import NDArray

from milepost.metrics.scoring.deciding import is_right
from milepost.metrics.scoring.measures import Measure, Reading, Sample, design_effect

BINS = 15
"""Most bins of equally many rows."""

BIN_ROWS = 20
"""Fewest rows of a bin: where there are fewer rows, there are fewer bins."""

_PRIOR = 2.0


def ece() -> Measure:
    """Expected calibration error of the most probable label, corrected for its bias.

    The error in equal-mass bins (Nixon et al. 2019) is too high by what chance alone puts between
    confidence and accuracy. The value is the debiased one of Kumar, Liang & Ma (2019): the plain
    error less what normal noise of the size of each bin's adds to it, at least 0.

    The bounds lie around the plain error. It is the mean of ``s (confidence - right)`` over rows,
    where ``s`` is the sign of the gap of the row's bin, so that the true error is never above the
    mean of that mean: the upper bound is that of a bounded mean. Chance adds at most as much as it
    does to a perfectly calibrated predictor, which the lower bound takes off.
    """

    def read(sample: Sample) -> Reading:
        confidence = sample.probabilities.max(axis=1).astype(np.float64)
        right = is_right(sample.answers, sample.y).astype(np.float64)
        bins = equal_mass(confidence)
        sizes = np.bincount(bins).astype(np.float64)
        gaps = np.bincount(bins, confidence - right) / sizes
        effect = design_effect(confidence - right, sample.units)
        noise = _noise(np.bincount(bins, right).astype(np.float64), sizes) * np.sqrt(effect)
        plain = float(sizes @ np.abs(gaps)) / len(right)
        value = max(0.0, 2.0 * plain - float(sizes @ folded_mean(gaps, noise)) / len(right))
        rows = np.where(gaps >= 0.0, 1.0, -1.0)[bins] * (confidence - right)
        return Reading(
            value=value,
            means=rows,
            sizes=None,
            worst=-1.0,
            best=1.0,
            centre=plain,
            excess=float(sizes @ folded_mean(np.zeros_like(gaps), noise)) / len(right),
        )

    return Measure("ece", higher=False, low=0.0, high=1.0, read=read)


def equal_mass(confidence: NDArray[np.float64]) -> NDArray[np.int64]:
    """Bin of each row, ``(n,)``: equally many rows in each, by confidence."""
    n = len(confidence)
    bins = min(BINS, max(1, n // BIN_ROWS))
    rank = np.empty(n, np.int64)
    rank[np.argsort(confidence, kind="stable")] = np.arange(n)
    return rank * bins // n


def folded_mean(mean: NDArray[np.float64], spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean size of a normal variable (Leone, Nelson & Nottingham 1961)."""
    from scipy.special import erf

    z = mean / spread
    return spread * np.sqrt(2.0 / np.pi) * np.exp(-(z**2) / 2.0) + mean * erf(z / np.sqrt(2.0))


def _noise(right: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard error of each bin's accuracy, not 0 where all are right (Agresti & Coull 1998)."""
    share = (right + _PRIOR) / (sizes + 2.0 * _PRIOR)
    return np.sqrt(share * (1.0 - share) / sizes)
