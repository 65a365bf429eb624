"""Measures that are a mean of what each row is worth."""

import numpy as np
from numpy.typing import NDArray

from milepost.metrics.inference.intervals import Measured
from milepost.metrics.risk.costs import Costs
from milepost.metrics.scoring.classification import brier_rows, log_loss_rows
from milepost.metrics.scoring.measures import Measure, Reading, Sample


def share_of(rows: NDArray[np.float64]) -> Reading:
    """Share of rows that are 1, ``(n,)`` of 0 and 1; bounds of Clopper & Pearson (1934)."""
    n, value = len(rows), float(rows.mean())
    exact = Measured(value=value, size=float(n), chance=0.0, n=n, method="clopper_pearson")
    return Reading(value, rows, None, 0.0, 1.0, exact)


def log_loss() -> Measure:
    """Mean negative log-probability of the actual label (Good 1952), nats.

    The worst row not seen is as confidently wrong as the most confident row seen could have been.
    """

    def read(sample: Sample) -> Reading:
        rows = log_loss_rows(sample.y, sample.probabilities)
        least = max(float(sample.probabilities.min()), 1e-7)
        return Reading(float(rows.mean()), rows, None, 0.0, -float(np.log(least)))

    return Measure("log_loss", higher=False, low=0.0, high=float("inf"), read=read)


def brier() -> Measure:
    """Mean squared distance to the actual label (Brier 1950), 0 to 2."""

    def read(sample: Sample) -> Reading:
        rows = brier_rows(sample.y, sample.probabilities)
        return Reading(float(rows.mean()), rows, None, 0.0, 2.0)

    return Measure("brier", higher=False, low=0.0, high=2.0, read=read)


def hit_rate(most: int) -> Measure:
    """Share of rows whose label is among the ``most`` most probable ones; exact bounds."""

    def read(sample: Sample) -> Reading:
        given = sample.probabilities[np.arange(len(sample.y)), np.maximum(sample.y, 0)][:, None]
        earlier = np.arange(sample.probabilities.shape[1])[None, :] < sample.y[:, None]
        ahead = (sample.probabilities > given) | ((sample.probabilities == given) & earlier)
        counted = (sample.y >= 0) & (sample.answers >= 0)
        return share_of(((ahead.sum(axis=1) < most) & counted).astype(np.float64))

    return Measure(f"hit_rate@{most}", higher=True, low=0.0, high=1.0, read=read)


def utility(costs: NDArray[np.float64]) -> Measure:
    """Mean value of an answer: less what it costs (Elkan 2001).

    Args:
        costs: ``(k, k)`` cost of each answered label (column) for each actual one (row). A row
            with an unknown label costs the most that its answer can cost, and one without an
            answer the most that its label can.
    """
    known = Costs(costs)

    def read(sample: Sample) -> Reading:
        rows = -known.of(sample.y, sample.answers)
        return Reading(float(rows.mean()), rows, None, -float(costs.max()), -float(costs.min()))

    return Measure(
        "utility", higher=True, low=-float(costs.max()), high=-float(costs.min()), read=read
    )
