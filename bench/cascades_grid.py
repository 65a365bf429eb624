"""The synthetic pools that cascades are compared on; nothing but numpy, for two environments."""

import numpy as np

ITEMS = 2000
LABELLED = 0.1
RATES = (0.05, 0.1, 0.2, 0.3, 0.5)
STRENGTHS = {"weak": 1.0, "fair": 2.0, "good": 3.0, "strong": 4.0}
"""Distance of the two labels' normal scores: an AUROC of 0.76, 0.92, 0.983 and 0.998."""

TARGET = 0.9
"""Recall and precision that are asked for; also 1 minus the share that may be wrong."""

DELTA = 0.05


def pool(rate: float, strength: float, repeat: int) -> tuple[np.ndarray, np.ndarray]:
    """One pool: the probability that the proxy gives for "yes", and what is so, ``(2000,)`` each.

    The probabilities are the right ones: no method is helped or hurt by a bad calibration.
    """
    rng = np.random.default_rng([repeat, round(rate * 1000), round(strength * 1000)])
    actual = rng.random(ITEMS) < rate
    score = strength * actual + rng.standard_normal(ITEMS)
    odds = np.log(rate / (1.0 - rate)) + strength * score - strength**2 / 2.0
    return 1.0 / (1.0 + np.exp(-odds)), actual
