"""Quality of answers, computed here and alike for milepost and its peers.

Independent of ``milepost.metrics`` on purpose: a mistake there must not hide itself.
"""

import numpy as np
from numpy.typing import NDArray

BINS = 15
RESAMPLES = 1000


def measure(
    truth: NDArray[np.str_], answers: NDArray[np.str_], confidence: NDArray[np.float64]
) -> dict[str, dict[str, float]]:
    """Accuracy, macro F1 and ECE, each with a 95 % percentile bootstrap interval.

    The macro average is over the labels that occur in ``truth``. ECE is never negative, so that
    its bootstrap interval lies somewhat high, and that of a perfectly calibrated classifier is not
    zero: ``if_perfect`` is its mean at these confidences.

    Args:
        truth: ``(n,)`` labels.
        answers: ``(n,)`` labels.
        confidence: ``(n,)`` stated probability of each answer.
    """
    labels = np.unique(truth)
    known = {label: i for i, label in enumerate(labels.tolist())}
    y = np.array([known[label] for label in truth.tolist()])
    guess = np.array([known.get(label, len(labels)) for label in answers.tolist()])
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(y), (RESAMPLES, len(y)))

    def numbers(rows: NDArray[np.int64]) -> tuple[float, float, float]:
        right = (y[rows] == guess[rows]).astype(np.float64)
        return (
            float(right.mean()),
            _macro_f1(y[rows], guess[rows], len(labels)),
            expected_calibration_error(right, confidence[rows]),
        )

    value = numbers(np.arange(len(y)))
    low, high = np.quantile([numbers(rows) for rows in draws], [0.025, 0.975], axis=0)
    found = {
        name: {"value": value[i], "low": float(low[i]), "high": float(high[i])}
        for i, name in enumerate(("accuracy", "macro_f1", "ece"))
    }
    perfect = [
        expected_calibration_error((rng.random(len(y)) < confidence).astype(np.float64), confidence)
        for _ in range(200)
    ]
    found["ece"]["if_perfect"] = float(np.mean(perfect))
    return found


def _macro_f1(y: NDArray[np.int64], guess: NDArray[np.int64], k: int) -> float:
    hits = np.bincount(y[y == guess], minlength=k)[:k]
    actual = np.bincount(y, minlength=k)[:k]
    answered = np.bincount(guess, minlength=k + 1)[:k]
    present = actual > 0
    return float((2 * hits / np.maximum(1, actual + answered))[present].mean())


def expected_calibration_error(
    right: NDArray[np.float64], confidence: NDArray[np.float64], bins: int = BINS
) -> float:
    """Mean gap of confidence and accuracy over bins of equally many answers (Nixon et al. 2019)."""
    parts = np.array_split(np.argsort(confidence, kind="stable"), bins)
    gaps = [abs(right[p].mean() - confidence[p].mean()) * len(p) for p in parts if len(p)]
    return float(sum(gaps) / len(right))
