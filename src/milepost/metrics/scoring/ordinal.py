"""Measures for labels that have an order, such as stars: how far off, and in the right order?

Each label has a value: the number that it is, or its place among the labels. The mean absolute
error is a mean of rows. The rank correlations are functions of the table of actual and answered
values; what each row says of them is their influence function (Hampel 1974), which is explicit for
both. A correlation behaves like a share of concordance, ``(1 + r) / 2``, and has the bounds of one
on its effective sample size.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from milepost.metrics.scoring.measures import Measure, Reading, Sample, effective_share


def mae(values: NDArray[np.float64]) -> Measure:
    """Mean absolute error of the answers.

    Args:
        values: ``(k,)`` value of each label. A row with an unknown label is as wrong as its answer
            can be, and one without an answer as wrong as an answer to its label could be.
    """
    reach = float(np.ptp(values))

    def furthest(value: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.maximum(value - values.min(), values.max() - value)

    def read(sample: Sample) -> Reading:
        actual, answered = values[sample.y], values[sample.answers]
        known, said = sample.y >= 0, sample.answers >= 0
        rows = np.where(known, np.abs(actual - answered), furthest(answered))
        rows = np.where(said, rows, np.where(known, furthest(actual), reach))
        return Reading(float(rows.mean()), rows, None, 0.0, reach)

    return Measure("mae", higher=False, low=0.0, high=reach, read=read)


def spearman(values: NDArray[np.float64]) -> Measure:
    """Rank correlation (Spearman 1904): Pearson's correlation of the mid-ranks, -1 to 1."""
    return _correlation("spearman", values, spearman_parts)


def kendall(values: NDArray[np.float64]) -> Measure:
    """Rank correlation tau-b (Kendall 1945): pairs in the same order less those that are not."""
    return _correlation("kendall", values, kendall_parts)


def spearman_parts(table: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Spearman's correlation and what a row in each cell says of it.

    Args:
        table: ``(a, b)`` rows by actual and answered value, both in order.

    Returns:
        The correlation, 0 where one of the two is constant, and ``(a, b)``.
    """
    share = table / table.sum()
    x, y = _ridit(share.sum(axis=1)), _ridit(share.sum(axis=0))
    across, down = float(share.sum(axis=1) @ x**2), float(share.sum(axis=0) @ y**2)
    if across <= 1e-15 or down <= 1e-15:
        return 0.0, np.zeros_like(table)
    value = float(x @ share @ y / np.sqrt(across * down))
    # A row moves the moments of the ranks directly, and the ranks of all rows beside it.
    direct = np.outer(x, y) + _moved(share @ y)[:, None] + _moved(x @ share)[None, :]
    first = x**2 + 2.0 * _moved(share.sum(axis=1) * x)
    second = y**2 + 2.0 * _moved(share.sum(axis=0) * y)
    parts = (
        direct / np.sqrt(across * down)
        - value / 2.0 * (first / across)[:, None]
        - value / 2.0 * (second / down)[None, :]
    )
    return value, value + parts - float((share * parts).sum())


def kendall_parts(table: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Kendall's tau-b and what a row in each cell says of it; as ``spearman_parts``."""
    share = table / table.sum()
    rows, columns = share.sum(axis=1), share.sum(axis=0)
    untied = (1.0 - float(rows @ rows)) * (1.0 - float(columns @ columns))
    if untied <= 1e-15:
        return 0.0, np.zeros_like(table)
    agree = _beyond(share, below=True) + _beyond(share, below=False)
    turned = share[:, ::-1]
    differ = (_beyond(turned, below=True) + _beyond(turned, below=False))[:, ::-1]
    apart = agree - differ
    value = float((share * apart).sum() / np.sqrt(untied))
    parts = (
        2.0 * apart / np.sqrt(untied)
        - value * ((1.0 - rows) / (1.0 - float(rows @ rows)))[:, None]
        - value * ((1.0 - columns) / (1.0 - float(columns @ columns)))[None, :]
    )
    return value, value + parts - float((share * parts).sum())


def _ridit(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mid-rank of each value as a share of the rows, less one half."""
    return np.cumsum(share) - share / 2.0 - 0.5


def _moved(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a row at each value adds to a sum of weighted ranks: half of its own, all above."""
    return weights.sum() - np.cumsum(weights) + weights / 2.0


def _beyond(share: NDArray[np.float64], *, below: bool) -> NDArray[np.float64]:
    """Share of the rows before each cell in both directions, or after it in both."""
    turn = share if below else share[::-1, ::-1]
    sums = np.zeros((share.shape[0] + 1, share.shape[1] + 1))
    sums[1:, 1:] = turn.cumsum(axis=0).cumsum(axis=1)
    found = sums[:-1, :-1]
    return found if below else found[::-1, ::-1]


def _correlation(
    name: str,
    values: NDArray[np.float64],
    parts: Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]],
) -> Measure:
    places = np.unique(values, return_inverse=True)[1].reshape(-1)
    k = int(places.max()) + 1

    def read(sample: Sample) -> Reading:
        n, known = len(sample.y), (sample.y >= 0) & (sample.answers >= 0)
        at, answered = places[sample.y[known]], places[sample.answers[known]]
        value, means = 0.0, np.zeros(n)
        if known.any():
            table = np.zeros((k, k))
            np.add.at(table, (at, answered), 1.0)
            among, said = parts(table)
            # An unknown label is in no order with any other, nor is no answer: their row says 0.
            value, means[known] = among * float(known.mean()), said[at, answered]
        seen = np.bincount(at, minlength=k)
        seen = seen[seen > 0]
        most = float(len(seen) ** 2 / (1.0 / seen).sum()) if len(seen) else 1.0
        low, high = value - 2.0 * n / max(most, 1.0), value + 2.0 * n / max(most, 1.0)
        return Reading(
            value, means, None, low, high, effective_share(value, means, most, chance=-1.0)
        )

    return Measure(name, higher=True, low=-1.0, high=1.0, read=read)
