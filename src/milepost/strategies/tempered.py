"""Log loss at the best of a few temperatures, so that a choice does not reward a scale."""

import numpy as np
from numpy.typing import NDArray

TEMPERATURES = (0.25, 0.5, 0.7, 1.0, 1.4, 2.0, 4.0, 8.0)


def tempered_log_loss(logits: NDArray[np.floating], y: NDArray[np.int64]) -> tuple[float, float]:
    """The lowest mean log loss over ``TEMPERATURES``, and the temperature that gives it.

    The loss is convex in the inverse temperature, so that the walk stops when it rises.

    Args:
        logits: ``(n, k)``, n at least 1.
        y: ``(n,) int64`` true labels.
    """
    centred = (logits - logits.max(axis=1, keepdims=True)).astype(np.float32)
    own = centred[np.arange(len(y)), y].astype(np.float64)
    middle = TEMPERATURES.index(1.0)
    best = (_log_loss(centred, own, 1.0), 1.0)
    for side in (TEMPERATURES[middle + 1 :], TEMPERATURES[:middle][::-1]):
        before = best
        for temperature in side:
            loss = _log_loss(centred, own, temperature)
            if loss >= best[0]:
                break
            best = (loss, temperature)
        if best is not before:
            break
    return best


def _log_loss(centred: NDArray[np.float32], own: NDArray[np.float64], temperature: float) -> float:
    sums = np.exp(centred / np.float32(temperature)).sum(axis=1, dtype=np.float64)
    return float(np.mean(np.log(sums) - own / temperature))
