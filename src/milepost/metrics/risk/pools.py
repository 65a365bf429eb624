"""A pool of items that a cheap proxy has scored: which to label, and which then need no label.

The pool is all there is, so that "at most so much is wrong" is a statement about it and nothing
else, and exact tests carry it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.metrics.risk.cascading import STEPS, Limit, Tally, sequence, start
from milepost.metrics.risk.testing import binomial_p, fewest_labels, hypergeometric_cdf

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
Ask = Callable[[Rows], NDArray[np.bool_]]
"""What is so of some items, such as what a large model or a person says."""


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """What became of a pool of ``n`` items.

    Attributes:
        asked: ``(n,) bool``, the items that somebody was asked about: labels and what climbed.
        answers: ``(n,) bool``, what is taken to be so of each.
        certified: Items that were certified to be left to the proxy, labelled ones included.
    """

    asked: NDArray[np.bool_]
    answers: NDArray[np.bool_]
    certified: int

    @property
    def calls(self) -> int:
        """How many items were asked about."""
        return int(self.asked.sum())


@dataclass(slots=True, eq=False)
class _Pool:
    """The pool while it is asked about; each item once."""

    ask: Ask
    known: NDArray[np.bool_]
    actual: NDArray[np.bool_]

    def look(self, rows: Rows) -> NDArray[np.bool_]:
        new = rows[~self.known[rows]]
        if len(new):
            self.actual[new] = self.ask(new)
            self.known[new] = True
        return self.actual[rows]


def answer_pool(
    chance: Array, ask: Ask, labels: int, at_most: float, delta: float, seed: int = 0
) -> Settled:
    """Leave as many items to the proxy as keeps its mistakes among them at ``at_most``.

    With probability at least ``1 - delta`` over the draw, at most ``at_most`` of the answers that
    the proxy gives by itself are wrong. Everything else is asked about.

    Labels are drawn evenly; which thresholds are tried, and which first, follows from what the
    proxy says of itself. Where that is wrong more climbs, and the promise holds all the same.

    Args:
        chance: ``(n,)`` probability of "yes" by the proxy, in [0, 1].
        ask: Tells what is so of items.
        labels: Items to label before thresholds are set.
        at_most: Largest share of wrong answers, in (0, 1).
        delta: Allowed error, in (0, 1).
        seed: Of the draw.
    """
    n = len(chance)
    pool = _Pool(ask, np.zeros(n, np.bool_), np.zeros(n, np.bool_))
    said = chance >= 0.5
    doubt = np.minimum(chance, 1.0 - chance)
    order = np.argsort(doubt, kind="stable")
    sizes = np.unique(np.ceil(np.arange(1, STEPS + 1) * n / STEPS).astype(np.int64))
    expected = doubt[order].cumsum()[sizes - 1]
    begin = start(
        Tally(1.0 - doubt[order][sizes - 1], sizes, expected, np.zeros((0, 2), np.int64), n),
        Limit(at_most),
        labels,
    )
    drawn = np.random.default_rng(seed).choice(n, min(labels, n), replace=False)
    looked, wrong = np.zeros(n, np.int64), np.zeros(n, np.int64)
    looked[drawn] = 1
    wrong[drawn] = pool.look(drawn) != said[drawn]
    looked, wrong = looked[order].cumsum()[sizes - 1], wrong[order].cumsum()[sizes - 1]
    counts = zip(wrong.tolist(), looked.tolist(), sizes.tolist(), strict=True)
    last = sequence(np.array([_p(*each, at_most) for each in counts]), begin, delta)
    kept = 0 if last is None else int(sizes[last])
    return _settle(pool, order[:kept], said)


def filter_pool(
    chance: Array,
    ask: Ask,
    labels: int,
    targets: tuple[float, float],
    delta: float,
    seed: int = 0,
) -> Settled:
    """Find the items that are so, with a promised recall and precision.

    The surest items are taken or left by the proxy alone, the others are asked about. Both targets
    hold with probability at least ``1 - delta`` over the draw: half of the error is for what is
    missed, half for mistakes among what is taken.

    Labels are drawn evenly here, until so many are found to be so as the tests need, and about as
    many as are asked for. Each of those is as likely as another to be one that would be missed, so
    that how many are is binomial, whatever their share of the pool; and how many wrong ones are
    drawn before them is negative binomial. Both can only grow as more is left unseen, so that tests
    in that order, each at the whole error, end where they should and need no first step.

    Args:
        chance: ``(n,)`` probability of "yes" by the proxy, in [0, 1]; only its order matters.
        ask: Tells what is so of items.
        labels: Items to label before thresholds are set, about: fewer where many are so, and more
            where so few are that nothing could be certified.
        targets: Least recall and least precision, in (0, 1).
        delta: Allowed error, in (0, 1).
        seed: Of the draw.
    """
    recall, precision = targets
    rng = np.random.default_rng(seed)
    n = len(chance)
    pool = _Pool(ask, np.zeros(n, np.bool_), np.zeros(n, np.bool_))
    # How many "yes" to find is fixed before any label is seen.
    enough = max(
        fewest_labels(1.0 - recall, 1.0 - delta / 2.0),
        fewest_labels(1.0 - precision, 1.0 - delta / 2.0),
        round(labels * float(np.mean(chance))),
    )
    drawn = _until(pool, rng.permutation(n), enough)
    order = np.argsort(chance, kind="stable")
    place = np.empty(n, np.int64)
    place[order] = np.arange(n)
    actual, at = pool.look(drawn), place[drawn]
    yes, no = np.sort(at[actual]), np.sort(at[~actual])[::-1]
    # Missed are the lowest that are so: as many of them as the test allows, and up to the next.
    missed = _allowed(lambda x: len(yes), len(yes), 1.0 - recall, delta / 2.0)
    low = 0 if missed is None else int(np.append(yes, n)[missed])
    taken = len(yes) - int((yes < low).sum())
    wrong = _allowed(lambda x: taken + x, len(no), 1.0 - precision, delta / 2.0)
    high = n if wrong is None else max(int(np.append(no, -1)[wrong]) + 1, low)
    said = place >= high
    return _settle(pool, np.concatenate([order[:low], order[high:]]), said)


def _until(pool: _Pool, order: Rows, enough: int) -> Rows:
    """Label items in an order until ``enough`` are so; all of them where there are fewer."""
    done, found = 0, 0
    while done < len(order) and found < enough:
        # No more at once than are still missing, so that the last one drawn is so.
        step = order[done : done + enough - found]
        found += int(pool.look(step).sum())
        done += len(step)
    return order[:done]


def _allowed(of: Callable[[int], int], most: int, share: float, delta: float) -> int | None:
    """The most events whose share is still shown to be at most ``share``; ``None`` for not even 0.

    Args:
        of: How many draws there are when so many of them are events.
        most: Events that there are.
        share: Largest allowed share.
        delta: Allowed error.
    """
    counts = np.arange(most + 1)
    draws = np.array([of(int(x)) for x in counts], np.int64)
    return sequence(binomial_p(counts, draws, share), 0, delta)


def _settle(pool: _Pool, left_alone: Rows, said: NDArray[np.bool_]) -> Settled:
    """Ask about everything else; what was labelled is as it was labelled."""
    climbing = np.ones(len(said), np.bool_)
    climbing[left_alone] = False
    pool.look(np.flatnonzero(climbing))
    answers = np.where(pool.known, pool.actual, said)
    return Settled(pool.known.copy(), answers, len(left_alone))


def _p(wrong: int, drawn: int, size: int, at_most: float) -> float:
    """Of "more than ``at_most`` of those that were not drawn are wrong".

    What was drawn is put right, so that besides it so many more may be wrong. Whatever the number
    of wrong ones in all, the chance to claim falsely is at most the level: where the claim is
    false, the test was one of a number that is no larger, whose p-value is no smaller.
    """
    more = math.floor(at_most * (size - drawn) + 1e-9)
    if drawn == size:
        return 0.0
    return hypergeometric_cdf(wrong, size, wrong + more + 1, drawn)
