"""Which of several configurations to take: successive halving over folds, with a prior.

Knows neither strategies nor texts: losses of rows in, one index out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Losses = Callable[[int, int], Array]
"""``losses(configuration, part)``: the log loss of each row of a part, from a fit without it."""


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """What is believed of ``m`` configurations before any of them is fitted.

    A number says by which share of the first one's loss a configuration loses more: 0 for the first
    one itself, below 0 for one that is believed to be better.

    Attributes:
        mean: ``(m,)``.
        variance: ``(m,)``, above 0 but for the first one.
    """

    mean: Array
    variance: Array


@dataclass(frozen=True, slots=True)
class Raced:
    """What a race came to.

    Attributes:
        chosen: Index of the configuration.
        gain: By which share of the first one's loss it is believed to lose less, at least 0.
        fits: How many fits it took.
    """

    chosen: int
    gain: float
    fits: int


def entrants(expected: Expected, most: int) -> list[int]:
    """The configurations that race: the first one, and the most promising others."""
    others = np.argsort(expected.mean[1:], kind="stable") + 1
    return [0, *others[: max(0, most - 1)].tolist()]


def rungs(entering: int, parts: int) -> list[tuple[int, range]]:
    """How many are still in the race, and on which parts they are tried.

    Each rung doubles the parts seen and halves the configurations (Jamieson & Talwalkar 2016); the
    last two are tried on all that is left.
    """
    found: list[tuple[int, range]] = []
    left, seen = entering, 0
    while left > 1 and seen < parts:
        end = parts if left <= 2 else min(parts, max(1, 2 * seen))
        found.append((left, range(seen, end)))
        left, seen = -(-left // 2), end
    return found


def fits_of(entering: int, parts: int) -> int:
    """How many fits a race takes."""
    return sum(left * len(tried) for left, tried in rungs(entering, parts))


def race(losses: Losses, expected: Expected, entering: Sequence[int], parts: int) -> Raced:
    """The configuration with the lowest expected loss after each has been tried as far as worth it.

    What is expected is the mean of what other tasks say and what the rows say, each weighted with
    its precision (normal prior, normal mean): with a dozen rows the other tasks decide, with a
    thousand the rows. Differences are taken row by row, so that what is hard for all cancels.

    Args:
        losses: Fits and measures.
        expected: Of all configurations.
        entering: Indexes of those that race, the first of which is what others are held against.
        parts: How many parts the rows are in.
    """
    first = entering[0]
    known: dict[int, list[Array]] = {each: [] for each in entering}
    alive, fits = list(entering), 0
    for left, tried in rungs(len(entering), parts):
        alive = alive[:left]
        if first not in alive:
            # It stays in: nothing can be said without what others are held against.
            alive = [*alive[: left - 1], first]
        for each in alive:
            known[each] += [losses(each, part) for part in tried]
            fits += len(tried)
        alive = sorted(alive, key=lambda each: _believed(expected, known, each, first))
    believed = {each: _believed(expected, known, each, first) for each in entering}
    # One that was dropped early may seem good on the few rows that it was tried on.
    chosen = min(alive[:1] or [first], key=lambda each: believed[each])
    if believed[chosen] >= 0.0:
        chosen = first
    return Raced(chosen, max(0.0, -believed[chosen]), fits)


def _believed(
    expected: Expected, known: dict[int, list[Array]], configuration: int, first: int
) -> float:
    """By which share of the first one's loss it is believed to lose more."""
    if configuration == first:
        return 0.0
    prior, spread = float(expected.mean[configuration]), float(expected.variance[configuration])
    if not known[configuration]:
        return prior
    mine = np.concatenate(known[configuration])
    base = np.concatenate(known[first])[: len(mine)]
    scale = float(base.mean())
    if len(mine) < 2 or scale <= 0.0:
        return prior
    difference = (mine - base) / scale
    error = float(difference.var(ddof=1)) / len(mine)
    precision = 1.0 / max(error, 1e-12)
    return (prior / spread + float(difference.mean()) * precision) / (1.0 / spread + precision)
