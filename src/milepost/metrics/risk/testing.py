"""Tests of "more than this share is wrong", each valid for every number of rows.

Which one is sharpest depends on what is counted:

- right or wrong, rows drawn from an endless stream: the exact binomial test;
- right or wrong, rows drawn without replacement from a finite pool: the exact hypergeometric test;
- losses or costs between 0 and 1, or rows drawn with unequal chances: a bet (Waudby-Smith and
  Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86 (2024)). It may also
  be looked at after every row; for plain right and wrong it is a little weaker than the exact ones.

A small p-value rejects the hypothesis that the promise is broken (Angelopoulos et al., "Learn then
Test", 2021).
"""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BETS = (0.1, 0.2, 0.3, 0.45, 0.6, 0.75, 0.9)
"""Constant bets, as shares of the largest that cannot lose everything, that the capital is spread
over: a mixture of martingales is one, and no bet needs to be known to be good beforehand."""

_ADAPTIVE_MOST = 0.99
_ADAPTIVE_LEVEL = math.log(20.0)


def binomial_p(
    wrong: NDArray[np.integer] | Array, answered: NDArray[np.integer] | Array, at_most: float
) -> NDArray[np.float64]:
    """Of "more than ``at_most`` is wrong": chance of so few mistakes; 1 without answers.

    Args:
        wrong: ``(g,)`` mistakes.
        answered: ``(g,)`` answers, independent draws of what will be asked.
        at_most: Largest allowed share, in (0, 1).
    """
    from scipy.special import bdtr

    few, all_ = np.floor(wrong), np.maximum(np.floor(answered), 1.0)
    return np.where(answered > 0, bdtr(few, all_.astype(np.int64), at_most), 1.0)


def hypergeometric_cdf(wrong: int, size: int, bad: int, labelled: int) -> float:
    """Chance of at most ``wrong`` bad ones among ``labelled`` of ``size`` items with ``bad`` ones.

    The sum of its terms by logarithms of factorials: exact to about 1e-12 of itself.
    """
    from scipy.special import gammaln

    fewest, most = max(0, labelled + bad - size), min(wrong, labelled, bad)
    if most < fewest:
        return 0.0
    x = np.arange(fewest, most + 1, dtype=np.float64)

    def choose(n: Array | float, k: Array | float) -> Array:
        return gammaln(np.add(n, 1.0)) - gammaln(np.add(k, 1.0)) - gammaln(np.subtract(n, k) + 1.0)

    terms = choose(bad, x) + choose(size - bad, labelled - x) - choose(size, labelled)
    return min(1.0, float(np.exp(terms).sum()))


def betting_p(losses: Array, at_most: float, largest: float = 1.0) -> float:
    """Of "the mean loss is more than ``at_most``", looked at after every row.

    ``K_t = prod(1 + b_t (at_most - loss_t))`` is a non-negative supermartingale where the mean of
    each loss, given those before, is ``at_most`` or more, and so is any mean of such; it ever
    reaches ``1/p`` with a probability of at most ``p`` (Ville). Half of the capital is spread over
    constant bets, and half follows the variance of the losses so far (Waudby-Smith and Ramdas 2024,
    section 3.2: predictable plug-in), which is the better one where no loss is near the largest.
    Rows that were drawn with unequal chances carry ``loss = weight * wrong``, whose mean is the
    risk.

    Args:
        losses: ``(n,)`` in [0, ``largest``], in an order that they do not decide.
        at_most: Largest allowed mean, in (0, ``largest``).
        largest: Largest possible loss.

    Raises:
        ValueError: If a loss is out of its range.
    """
    if not len(losses):
        return 1.0
    if losses.min() < 0.0 or losses.max() > largest * (1.0 + 1e-9):
        raise ValueError(f"a loss is not between 0 and {largest}")
    bets = np.asarray(BETS) / (largest - at_most)
    grown = np.log1p(bets[:, None] * (at_most - losses[None, :])).cumsum(axis=1)
    spread = np.logaddexp.reduce(grown, axis=0) - math.log(len(BETS))
    following = np.log1p(_following(losses / largest, at_most / largest)).cumsum()
    capital = np.logaddexp(spread, following) - math.log(2.0)
    return float(min(1.0, math.exp(-min(float(capital.max()), 700.0))))


def _following(losses: Array, at_most: float) -> Array:
    """What bets that follow the variance so far win of each loss in [0, 1], ``(n,)``.

    A bet is made before its loss is seen: it uses the losses before alone.
    """
    n = len(losses)
    seen = np.arange(2.0, n + 2.0)
    mean = (0.5 + losses.cumsum()) / seen
    variance = (0.25 + ((losses - mean) ** 2).cumsum()) / seen
    before = np.append(0.25, variance[:-1])
    most = _ADAPTIVE_MOST / (1.0 - at_most)
    bets = np.minimum(np.sqrt(2.0 * _ADAPTIVE_LEVEL / (n * before)), most)
    return bets * (at_most - losses)


def rows_for_betting(losses: Array, at_most: float, delta: float) -> float:
    """About how many losses in [0, 1] like these it takes until betting shows ``at_most``.

    By the growth of the capital at the best constant bet (Kelly); infinite where none grows.
    """
    if not len(losses):
        return math.inf
    bets = np.asarray(BETS) / (1.0 - at_most)
    growth = float(np.log1p(bets[:, None] * (at_most - losses[None, :])).mean(axis=1).max())
    needed = math.log(1.0 / delta) + math.log(2.0 * len(BETS))
    return needed / growth if growth > 0.0 else math.inf


def fewest_labels(at_most: float, confidence: float) -> int:
    """Answers without a mistake that it takes to promise anything at all.

    The smallest ``n`` with ``(1 - at_most)^n <= 1 - confidence``; 59 for 5 % with 95 %.
    """
    return math.ceil(math.log(1.0 - confidence) / math.log1p(-at_most))


def broken_evidence(losses: NDArray[np.bool_] | Array, at_most: float) -> float:
    """How much labels that came in one after the other speak against "at most so much is lost".

    ``max over t of mean over bets b of prod(1 + b (loss - at_most))``: the running maximum of a
    test supermartingale, so that it reaches ``1/alpha`` with a probability of at most ``alpha``
    while the promise holds, however often somebody looks (Ville; Waudby-Smith and Ramdas 2024).

    Args:
        losses: ``(n,)`` in [0, 1], such as whether an answer was wrong, in the order in which the
            labels came.
        at_most: Promised mean, in (0, 1).
    """
    if not len(losses):
        return 1.0
    bets = np.asarray(BETS) / at_most
    grown = np.log1p(bets[:, None] * (losses[None, :] - at_most)).cumsum(axis=1)
    capital = np.logaddexp.reduce(grown, axis=0) - math.log(len(BETS))
    return math.exp(min(max(float(capital.max()), 0.0), 700.0))
