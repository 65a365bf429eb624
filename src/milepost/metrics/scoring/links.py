"""What a predictor's numbers lose by the truth, and the temperature that loses least."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milepost.entities.kinds import Link
from milepost.entities.spans import OF_ANSWER, OF_TRUTH, begins, listed, matched
from milepost.metrics.scoring.calibration import fit_temperature
from milepost.metrics.scoring.classification import log_loss_rows

_FLOOR = 1e-7
"""Smallest probability that a logarithm is taken of; about the resolution of float32."""

Counts = NDArray[np.int64]

_STEPS = 60
_REACH = 6.0


def fit_scale(link: Link, numbers: NDArray[np.float64], y: NDArray[Any]) -> float:
    """The temperature that numbers are divided by before they are linked; 1 for a score.

    Args:
        link: How they are linked.
        numbers: ``(n, k)``, finite, not used to fit the model that gave them.
        y: As ``milepost.entities.kinds.truths`` gives it.
    """
    if link == "identity" or not len(y):
        return 1.0
    if link == "softmax":
        return fit_temperature(numbers, y)
    if link == "spans":
        right, odds = judged_spans(y, numbers)
        return 1.0 if right.all() or not right.any() else _scale(odds, right.astype(np.float64))
    truth = _held(link, y, numbers.shape[1]).astype(np.float64)
    return _scale(numbers, truth)


def loss_rows(link: Link, y: NDArray[Any], given: NDArray[np.float32]) -> NDArray[np.float64]:
    """What each row loses, ``(n,)``: log loss, mean log loss of its labels, or squared error.

    Of spans, how many were missed and how many are none.

    Args:
        link: How the answers were linked.
        y: As ``milepost.entities.kinds.truths`` gives it.
        given: ``(n, k)`` answers.
    """
    if link == "softmax":
        return log_loss_rows(y, given)
    if link == "spans":
        right, wanted, found = counts_of(y, given)
        return (wanted + found - 2 * right).astype(np.float64)
    if link == "identity":
        return (y - given[:, 0].astype(np.float64)) ** 2
    p = np.clip(given.astype(np.float64), _FLOOR, 1.0 - _FLOOR)
    truth = _held(link, y, given.shape[1])
    return -np.where(truth, np.log(p), np.log1p(-p)).mean(axis=1)


def counts_of(y: NDArray[Any], given: NDArray[Any]) -> tuple[Counts, Counts, Counts]:
    """Spans of each row, ``(n,)`` each: right, wanted and found.

    Args:
        y: ``(n, 3 M)`` truths.
        given: ``(n, 4 M)`` answers.
    """
    wanted, found = listed(y, OF_TRUTH), listed(given, OF_ANSWER)
    right = found[matched(wanted, found)]
    counts = [np.bincount(each[:, 0], minlength=len(y)) for each in (right, wanted, found)]
    return counts[0], counts[1], counts[2]


def judged_spans(
    y: NDArray[Any], given: NDArray[Any]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Of each span that was found whether it is right, and the number that stands with it."""
    rows, places = np.nonzero(begins(given, OF_ANSWER))
    numbers = given[rows, OF_ANSWER * places + OF_ANSWER - 1].astype(np.float64)
    return matched(listed(y, OF_TRUTH), listed(given, OF_ANSWER)), numbers


def _scale(numbers: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    return _lowest(lambda log: float(_sigmoid_losses(numbers / np.exp(log), truth).mean()))


def _held(link: Link, y: NDArray[Any], k: int) -> NDArray[np.bool_]:
    """What holds in each of ``k`` columns: the labels, or that a candidate is relevant at all."""
    return (y[:, :1] if link == "relevance" else y[:, :k]) > 0


def _sigmoid_losses(
    numbers: NDArray[np.float64], truth: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.logaddexp(0.0, numbers) - truth * numbers


def _lowest(loss: Callable[[float], float]) -> float:
    """Exponential of where a convex function of a logarithm is lowest, by golden section."""
    low, high, share = -_REACH, _REACH, (np.sqrt(5.0) - 1.0) / 2.0
    inner, outer = high - share * (high - low), low + share * (high - low)
    of_inner, of_outer = loss(inner), loss(outer)
    for _ in range(_STEPS):
        if of_inner <= of_outer:
            high, outer, of_outer = outer, inner, of_inner
            inner = high - share * (high - low)
            of_inner = loss(inner)
        else:
            low, inner, of_inner = inner, outer, of_outer
            outer = low + share * (high - low)
            of_outer = loss(outer)
    return float(np.exp((low + high) / 2.0))
