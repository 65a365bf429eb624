"""Thresholds of a cascade that keep "of what is answered before the last rung, so much is wrong".

A row is answered by the first rung that is sure enough of it, at one threshold for all rungs: with
calibrated confidences that is where the rows with the highest risk climb, whichever rung they are
at. The thresholds lie on one path from "nothing is answered" to "everything is", fixed before the
rows that certify are seen, and are tested in that order (fixed-sequence testing; Angelopoulos et
al., "Learn then Test", 2021, section 4).
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from milepost.metrics.risk.testing import betting_p, binomial_p, rows_for_betting

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

STEPS = 60
"""Thresholds on a path, about evenly spread over the share of rows that they answer."""

SLOW_SHARE = 0.05
"""Share of inputs that may be slower than a limit on the 95th percentile."""


@dataclass(frozen=True, slots=True, eq=False)
class Ladder:
    """What ``r`` rungs before the last one say of ``n`` rows.

    Attributes:
        confidence: ``(r, n)`` of each rung's answer, in [0, 1]; below 0 where a rung decides
            nothing.
        right: ``(r, n)``, whether it is right.
        loss: ``(r, n)`` in [0, 1], what is lost by it; needed for betting alone.
    """

    confidence: Array
    right: Mask
    loss: Array | None = None

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self.confidence.shape[1]

    def take(self, rows: NDArray[np.int64]) -> "Ladder":
        """The same rungs on some of the rows."""
        loss = None if self.loss is None else self.loss[:, rows]
        return Ladder(self.confidence[:, rows], self.right[:, rows], loss)

    def rungs(self, threshold: float) -> NDArray[np.int64]:
        """Which rung answers each row, ``(n,) int64``; ``r``, the last one, where none is sure."""
        return rungs(self.confidence, threshold)


def rungs(confidence: Array, threshold: float) -> NDArray[np.int64]:
    """First rung whose confidence reaches the threshold, ``(r, n) -> (n,)``; ``r`` for none."""
    sure = confidence >= threshold
    return np.where(sure.any(axis=0), sure.argmax(axis=0), len(confidence)).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """What happens at each of ``g`` thresholds.

    Attributes:
        thresholds: ``(g,)``, strictest first.
        answered: ``(g,)`` rows answered before the last rung.
        wrong: ``(g,)`` wrong ones among them; what is expected need not be whole.
        reached: ``(g, r + 1)`` rows that reach each rung, the last one included.
        rows: How many rows there are.
        losses: What is lost by each row that is answered before the last rung, in an order that the
            rows do not decide, for each threshold; empty where nobody bets.
    """

    thresholds: Array
    answered: NDArray[np.int64]
    wrong: NDArray[np.int64] | Array
    reached: NDArray[np.int64]
    rows: int
    losses: tuple[Array, ...] = ()


@dataclass(frozen=True, slots=True)
class Limit:
    """What is to be certified: the mean loss of what is answered before the last rung.

    Attributes:
        at_most: Largest allowed mean, in (0, 1), of losses between 0 and 1.
        bound: ``binomial`` counts right and wrong, exactly; ``betting`` takes any losses.
    """

    at_most: float
    bound: Literal["binomial", "betting"] = "binomial"

    def p_values(self, found: Tally) -> Array:
        """Of "more than ``at_most`` is lost", for each threshold, ``(g,)``."""
        if self.bound == "binomial":
            return binomial_p(found.wrong, found.answered, self.at_most)
        return np.array([betting_p(each, self.at_most) for each in found.losses])


def path(confidence: Array, steps: int = STEPS) -> Array:
    """Thresholds from the strictest to 0, from rows that certify nothing.

    Args:
        confidence: ``(r, n)`` of other rows than those that certify; no labels are needed.
        steps: About how many.

    Returns:
        ``(g,) float64``, falling; each answers about ``1 / steps`` more of the rows.
    """
    best = np.sort(np.maximum(confidence.max(axis=0), 0.0))[::-1]
    if not len(best):
        return np.zeros(1)
    at = np.unique(np.ceil(np.arange(1, steps + 1) * len(best) / steps).astype(np.int64)) - 1
    found = np.unique(np.append(best[at], 0.0))[::-1]
    return found.astype(np.float64)


def tally(ladder: Ladder, thresholds: Array) -> Tally:
    """Count at each threshold."""
    r = len(ladder.confidence)
    answered = np.zeros(len(thresholds), np.int64)
    wrong, reached = answered.copy(), np.zeros((len(thresholds), r + 1), np.int64)
    columns = np.arange(ladder.rows)
    shuffled = np.random.default_rng(0).permutation(ladder.rows)
    losses: list[Array] = []
    for g, threshold in enumerate(thresholds.tolist()):
        rung = ladder.rungs(threshold)
        here = rung < r
        if ladder.loss is not None:
            rows = shuffled[here[shuffled]]
            losses.append(ladder.loss[rung[rows], rows])
        answered[g] = here.sum()
        wrong[g] = (~ladder.right[rung[here], columns[here]]).sum()
        counts = np.bincount(rung, minlength=r + 1)
        reached[g] = counts[::-1].cumsum()[::-1]
    return Tally(thresholds, answered, wrong, reached, ladder.rows, tuple(losses))


def start(found: Tally, limit: Limit, rows: int) -> int:
    """Where to begin on ``rows`` rows to come: the threshold that would most surely be certified.

    Args:
        found: Of rows that certify nothing.
        limit: What is to be certified.
        rows: How many rows certify.
    """
    scale = rows / max(found.rows, 1)
    if limit.bound == "betting":
        # Half a loss more than seen, for the same reason as below.
        foreseen = [
            np.append(np.resize(each, math.floor(len(each) * scale)), 0.5) for each in found.losses
        ]
        return int(np.argmin([betting_p(each, limit.at_most) for each in foreseen]))
    answered = np.floor(found.answered * scale)
    # Half a mistake more than seen: a threshold without one is not certain to make none.
    rate = (found.wrong + 0.5) / (found.answered + 1.0)
    expected = binomial_p(
        np.floor(answered * rate).astype(np.int64), answered.astype(np.int64), limit.at_most
    )
    return int(expected.argmin())


def sequence(p_values: Array, begin: int, delta: float) -> int | None:
    """The last of an unbroken run of rejections from ``begin`` on, or ``None``.

    Fixed-sequence testing: each hypothesis is tested at the whole ``delta``, in an order that was
    fixed beforehand, until one is not rejected. Any false rejection has probability at most
    ``delta`` (Bauer 1991).
    """
    last = None
    for at in range(begin, len(p_values)):
        if p_values[at] > delta:
            break
        last = at
    return last


def certified(found: Tally, limit: Limit, delta: float, begin: int) -> int | None:
    """The laxest threshold of the path that keeps the limit.

    Args:
        found: Of the rows that certify, on a path and a beginning that they did not choose.
        limit: What is to be certified.
        delta: Allowed error, in (0, 1).
        begin: Index of the threshold to begin with.
    """
    return sequence(limit.p_values(found), begin, delta)


def affordable(found: Tally, costs: Array, limit: float, delta: float) -> int | None:
    """The strictest threshold whose mean cost is certified to be within a limit, or ``None``.

    Tested from "everything is answered by the first rung" upwards, by betting; labels play no part.

    Args:
        found: Of the rows that certify.
        costs: ``(r + 1,)`` what it costs to ask each rung, in any unit.
        limit: Largest mean cost of an answer, in that unit.
        delta: Allowed error.
    """
    if limit >= costs.sum():
        return 0
    if limit <= costs[0]:
        return None
    strictest = None
    for g in range(len(found.thresholds) - 1, -1, -1):
        # How many rows stop at each rung; within a threshold their order says nothing.
        stops = found.reached[g] - np.append(found.reached[g][1:], 0)
        spent = np.repeat(np.cumsum(costs), stops)
        np.random.default_rng(0).shuffle(spent)
        if betting_p(spent, limit, float(costs.sum())) > delta:
            break
        strictest = g
    return strictest


def fast_enough(found: Tally, slow_from: int, delta: float) -> int | None:
    """The strictest threshold at which few enough rows reach a slow rung, or ``None``.

    Certified by exact binomial tests of "more than ``SLOW_SHARE`` are slower", from the laxest up.

    Args:
        found: Of the rows that certify.
        slow_from: First rung that is slower than the limit, counted with those before it;
            ``r + 1`` where none is.
        delta: Allowed error.
    """
    if slow_from >= found.reached.shape[1]:
        return 0
    slow = found.reached[::-1, slow_from]
    p_values = binomial_p(slow, np.full(len(slow), found.rows), SLOW_SHARE)
    last = sequence(p_values, 0, delta)
    return None if last is None else len(slow) - 1 - last


def rows_needed(found: Tally, limit: Limit, delta: float) -> int | None:
    """About how many rows would certify some threshold if its risk stays as seen.

    Args:
        found: Of any rows.
        limit: What is to be certified.
        delta: Allowed error.

    Returns:
        A number of rows; ``None`` where no threshold's risk is below the limit.
    """
    if limit.bound == "betting":
        needed = [
            rows_for_betting(each, limit.at_most, delta) * found.rows / max(len(each), 1)
            for each in found.losses
        ]
        fewest = min(needed, default=math.inf)
        return math.ceil(fewest) if math.isfinite(fewest) else None
    rate = (found.wrong + 0.5) / (found.answered + 1.0)
    can = (found.answered > 0) & (rate < limit.at_most)
    if not can.any() or not found.rows:
        return None
    answered, rate = found.answered[can], rate[can]
    for step in range(1, 121):
        rows = 8.0 * 2.0 ** (step / 8.0)
        counts = np.floor(answered * rows / found.rows).astype(np.int64)
        wrong = np.floor(counts * rate).astype(np.int64)
        if (binomial_p(wrong, counts, limit.at_most) <= delta).any():
            return math.ceil(rows)
    return None
