"""Two arms compared while their results come in, however often somebody looks.

Results of the two arms, each a number from 0 to 1, arrive mixed. They are cut into blocks, each as
short as it can be with at least one result of either arm; the block's difference ``D`` is the mean
of the one arm's results in it minus that of the other's. What lies before a block says nothing of
its mean: given the past, ``E[D]`` is the difference of the two means, also where both means drift
together. A confidence sequence for that difference is then one for a bounded mean, made by betting
against every candidate value (Waudby-Smith and Ramdas, "Estimating means of bounded random
variables by betting", JRSS B 86 (2024), section 4): for each candidate ``m`` the hedged capital

    K(m) = 1/2 prod(1 + min(l_t, c/m) (x_t - m)) + 1/2 prod(1 - min(l_t, c/(1-m)) (x_t - m))

is a non-negative martingale if ``m`` is the mean, and exceeds ``1/alpha`` ever with a probability
of at most ``alpha`` (Ville). ``x_t = (1 + D_t)/2``; the bets ``l_t`` are theirs of section 3.2,
equation (26), from the mean and variance of the blocks before, so that quiet results give narrow
intervals. A candidate that was ever refuted stays refuted.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CELLS = 2000
"""Cells that the values of a difference, -1 to 1, are held against: each 0.001 wide."""

TRUNCATION = 0.5
"""Largest share of the capital that one block can lose."""

_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Sequential:
    """What is known after some blocks.

    Attributes:
        blocks: How many.
        mean: Mean of their differences, -1 to 1; NaN without any.
        low: Lower bound of the difference, valid at every look.
        high: Upper bound.
        decided: Whether 0 is outside.
        evidence: Largest capital that was ever won against a difference of 0 (an e-value).
    """

    blocks: int
    mean: float
    low: float
    high: float
    decided: bool
    evidence: float


def block_means(values: Sequence[float], arms: Sequence[bool]) -> Array:
    """Means of the two arms in the shortest blocks with results of both, in order.

    Args:
        values: ``n`` results, 0 to 1, in the order in which they came.
        arms: Of each, whether it belongs to the arm that is judged.

    Returns:
        ``(b, 2) float64``, the mean of the judged arm and that of the other, 0 to 1; results after
        the last whole block wait for their counterpart.
    """
    found: list[tuple[float, float]] = []
    sums, counts = [0.0, 0.0], [0, 0]
    for value, arm in zip(values, arms, strict=True):
        sums[arm] += value
        counts[arm] += 1
        if counts[0] and counts[1]:
            found.append((sums[1] / counts[1], sums[0] / counts[0]))
            sums, counts = [0.0, 0.0], [0, 0]
    return np.asarray(found, np.float64).reshape(-1, 2)


def block_differences(values: Sequence[float], arms: Sequence[bool]) -> Array:
    """``(b,) float64``: of each block the mean of the judged arm minus that of the other."""
    means = block_means(values, arms)
    return means[:, 0] - means[:, 1]


def bets(x: Array, alpha: float) -> Array:
    """The predictable bet on each value, from those before it.

    Waudby-Smith and Ramdas (2024), equations (24) to (26).

    Args:
        x: ``(..., n)`` values, 0 to 1; each row a sequence of its own.
        alpha: Error that is allowed.

    Returns:
        ``(..., n)`` bets, > 0, not truncated yet.
    """
    n = x.shape[-1]
    t = np.arange(1, n + 1)
    means = (0.5 + x.cumsum(axis=-1)) / (t + 1)
    variances = (0.25 + ((x - means) ** 2).cumsum(axis=-1)) / (t + 1)
    before = np.concatenate([np.full((*x.shape[:-1], 1), 0.25), variances[..., :-1]], axis=-1)
    return np.sqrt(2.0 * math.log(2.0 / alpha) / (before * t * np.log(t + 1.0)))


def log_capital(x: Array, bet: Array, m: Array) -> tuple[Array, Array]:
    """Logarithms of both bets' growth at each step, for each candidate mean.

    Args:
        x: ``(n,)`` values, 0 to 1.
        bet: ``(n,)`` bets.
        m: ``(k,)`` candidates, 0 to 1.

    Returns:
        Two ``(n, k)`` arrays: of the bet that the mean is larger, and that it is smaller. The
        first falls in ``m``, the second rises.
    """
    with np.errstate(divide="ignore"):
        up = np.minimum(bet[:, None], TRUNCATION / m)
        down = np.minimum(bet[:, None], TRUNCATION / (1.0 - m))
    off = x[:, None] - m
    return np.log1p(up * off), np.log1p(-down * off)


def confidence_sequence(differences: Array, alpha: float = 0.05) -> Sequential:
    """The interval for a mean difference after these blocks, valid however often it is asked for.

    Args:
        differences: ``(b,)``, -1 to 1, in order; see ``block_differences``.
        alpha: With at most this probability the interval ever misses the truth, 0 to 1.
    """
    n = len(differences)
    if not n:
        return Sequential(0, math.nan, -1.0, 1.0, decided=False, evidence=1.0)
    x = (1.0 + differences) / 2.0
    bet = bets(x, alpha)
    edges = np.linspace(0.0, 1.0, CELLS + 1)
    best = np.zeros(CELLS)
    nought = 1.0
    up, down = np.zeros(CELLS + 1), np.zeros(CELLS + 1)
    half = CELLS // 2
    for start in range(0, n, _AT_ONCE):
        rise, fall = log_capital(x[start : start + _AT_ONCE], bet[start : start + _AT_ONCE], edges)
        ups, downs = up + rise.cumsum(axis=0), down + fall.cumsum(axis=0)
        # Of a cell the least that its capital can be anywhere in it: one falls, the other rises.
        least = np.logaddexp(ups[:, 1:], downs[:, :-1]).max(axis=0) - math.log(2.0)
        best = np.maximum(best, least)
        middle = np.logaddexp(ups[:, half], downs[:, half]).max() - math.log(2.0)
        nought = max(nought, math.exp(min(float(middle), 700.0)))
        up, down = ups[-1], downs[-1]
    kept = np.flatnonzero(best < math.log(1.0 / alpha))
    if not len(kept):
        # Every value was refuted at some time: the difference did not stay what it was.
        return Sequential(n, float(differences.mean()), -1.0, 1.0, decided=False, evidence=nought)
    low, high = 2.0 * edges[kept[0]] - 1.0, 2.0 * edges[kept[-1] + 1] - 1.0
    return Sequential(
        blocks=n,
        mean=float(differences.mean()),
        low=float(low),
        high=float(high),
        decided=bool(low > 0.0 or high < 0.0),
        evidence=nought,
    )


def blocks_needed(
    differences: Array,
    alpha: float = 0.05,
    *,
    most: int = 20_000,
    repeats: int = 200,
    seed: int = 0,
) -> int | None:
    """About how many more blocks decide it, if those to come are like those that were seen.

    The median over continuations drawn from the blocks with replacement.

    Args:
        differences: ``(b,)`` blocks so far, undecided.
        alpha: As for ``confidence_sequence``.
        most: Most further blocks that are looked at.
        repeats: Continuations.
        seed: Of the draws.

    Returns:
        Further blocks; ``None`` where there are fewer than two, or half of the continuations are
        undecided after ``most``.
    """
    n = len(differences)
    if n < 2:
        return None
    rng = np.random.default_rng(seed)
    x = (1.0 + differences) / 2.0
    state = _Nought.after(x, alpha, repeats)
    open_ = np.ones(repeats, np.bool_)
    bar = math.log(1.0 / alpha)
    for step in range(1, most + 1):
        state.add(rng.choice(x, repeats))
        open_ &= state.log_capital() < bar
        if 2 * int(open_.sum()) <= repeats:
            return step
    return None


@dataclass(slots=True)
class _Nought:
    """Capital against a difference of 0 in many continuations at once, with what its bets need."""

    alpha: float
    t: int
    total: Array
    spread: Array
    up: Array
    down: Array

    @classmethod
    def after(cls, x: Array, alpha: float, repeats: int) -> "_Nought":
        """The state that all continuations begin with."""
        state = cls(alpha, 0, *(np.zeros(repeats) for _ in range(4)))
        for value in x:
            state.add(np.full(repeats, value))
        return state

    def add(self, x: Array) -> None:
        """One more block in each continuation, ``(repeats,)``, 0 to 1."""
        before = (0.25 + self.spread) / (self.t + 1)
        self.t += 1
        t = self.t
        bet = np.sqrt(2.0 * math.log(2.0 / self.alpha) / (before * t * math.log(t + 1.0)))
        bet = np.minimum(bet, 2.0 * TRUNCATION)
        self.up += np.log1p(bet * (x - 0.5))
        self.down += np.log1p(-bet * (x - 0.5))
        self.total += x
        self.spread += (x - (0.5 + self.total) / (t + 1)) ** 2

    def log_capital(self) -> Array:
        """Logarithm of the capital now, ``(repeats,)``."""
        return np.logaddexp(self.up, self.down) - math.log(2.0)
