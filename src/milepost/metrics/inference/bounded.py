"""Bounds of the mean of bounded rows that are right at every size and never collapse.

Gaffke (2005) bounds the mean from below by the quantile of a randomly weighted mean: the rows and
one row more, the worst that there can be, get weights from a flat Dirichlet distribution. Where
every row is 0 or 1 this is exactly the bound of Clopper & Pearson (1934); where no row differs it
still leaves room for what was not seen, ``1 - tail ** (1 / n)`` of the way to the worst row.
Learned-Miller & Thomas (2020) found no distribution for which it misses more often than it says;
a proof for all of them is not known. For many rows it approaches the likelihood ratio interval of
Owen (1990), so that it is no wider than it has to be.

Weights from a Dirichlet distribution are exponential variables over their sum, so the probability
that the mean is below ``t`` is that of a weighted sum of exponential variables being below 0. It
is computed with the saddlepoint formula of Lugannani & Rice (1980) in the form of
Barndorff-Nielsen (1986): nothing is drawn, and a tail of one in a million costs no more than one
of one in twenty.

A draw may be several rows, such as a cluster of rows or a block of a jackknife: the mean is then a
ratio of two sums, which changes nothing in the formula.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_CLOSE = 1e-6
"""Error of the normal score that is left: 1e-6 of a standard error."""

_EDGE = 1e-13
_NEAR = 1e-4
_LONG = 0.25
_OUTER = 60
_INNER = 80
_MOST_DISTINCT = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """Independent draws behind a mean.

    Attributes:
        means: ``(u,)`` mean of each draw.
        sizes: ``(u,)`` rows in each draw, > 0.
        counts: ``(u,)`` how many draws are like this one.
        worst: Smallest value that an unseen row can have.
        best: Largest one.
        unseen: Rows in a draw that was not seen.
    """

    means: NDArray[np.float64]
    sizes: NDArray[np.float64]
    counts: NDArray[np.float64]
    worst: float
    best: float
    unseen: float = 1.0

    @classmethod
    def of(
        cls,
        means: NDArray[np.float64],
        worst: float,
        best: float,
        sizes: NDArray[np.float64] | None = None,
        unseen: float = 1.0,
    ) -> "Draws":
        """Group equal draws into one.

        Args:
            means: ``(u,)``, at least one.
            worst: Smallest value that a row can have; never above the smallest one seen.
            best: Largest one; never below the largest one seen.
            sizes: ``(u,)`` rows in each draw; one each when ``None``.
            unseen: Rows in a draw that was not seen; their mean size where draws are clusters.
        """
        worst, best = min(worst, float(means.min())), max(best, float(means.max()))
        if sizes is not None:
            return cls(means, sizes, np.ones(len(means)), worst, best, unseen)
        values, counts = np.unique(_binned(means), return_counts=True)
        return cls(values, np.ones(len(values)), counts.astype(np.float64), worst, best)

    @property
    def mean(self) -> float:
        """Mean of the rows."""
        weights = self.counts * self.sizes
        return float(weights @ self.means) / float(weights.sum())

    def bounds(self, tails: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lower and upper bounds that each miss with probability at most about ``tails``.

        Args:
            tails: ``(t,)`` in (0, 0.5].

        Returns:
            Two arrays ``(t,)``, within the range of the rows.
        """
        return _lower(self, tails), -_lower(self._turned(), tails)

    def p_above(self, bar: float) -> float:
        """One-sided p-value of "the mean is at most ``bar``": the tail whose bound is the bar."""
        from scipy.special import ndtr

        full = self._with_worst()
        at = np.array([bar])
        if bar <= full.worst:
            return 0.0
        if bar >= float(full.means.max()):
            return 1.0
        return float(np.asarray(ndtr(_score(full, at, np.zeros(1))[0]))[0])

    def p_below(self, bar: float) -> float:
        """One-sided p-value of "the mean is at least ``bar``"."""
        return self._turned().p_above(-bar)

    def _turned(self) -> "Draws":
        return Draws(-self.means, self.sizes, self.counts, -self.best, -self.worst, self.unseen)

    def _with_worst(self) -> "Draws":
        return Draws(
            np.append(self.means, self.worst),
            np.append(self.sizes, self.unseen),
            np.append(self.counts, 1.0),
            self.worst,
            self.best,
        )


def _binned(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows as they are, or on a fine grid where there are very many different ones."""
    if len(rows) <= _MOST_DISTINCT:
        return rows
    low, width = float(rows.min()), float(np.ptp(rows))
    if width == 0.0 or len(np.unique(rows)) <= _MOST_DISTINCT:
        return rows
    step = width / _MOST_DISTINCT
    # Halfway between two lines of the grid rounds to either side alike, so the mean stays.
    return low + np.round((rows - low) / step) * step


def _lower(draws: Draws, tails: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the weighted mean falls below with probability ``tails``."""
    from scipy.special import ndtri

    full = draws._with_worst()  # pyright: ignore[reportPrivateUsage]
    worst, best = full.worst, float(full.means.max())
    if best - worst <= 1e-12 * max(1.0, abs(best)):
        return np.full(len(tails), worst)
    target = np.asarray(ndtri(tails))
    if bool((full.sizes == full.sizes[0]).all()):
        return _tilted(full, target)
    return _nested(full, draws.mean, target)


def _tilted(full: Draws, target: NDArray[np.float64]) -> NDArray[np.float64]:
    """For draws of one size: along the tilt, bound and saddlepoint are both explicit.

    With rows ``x`` around 0 and a tilt ``a`` the bound is the mean of ``x`` with weights
    ``1 / (1 - a x)``, and its saddlepoint is ``a / (1 - a t)``. What is left to find is the tilt
    whose normal score is the target: secants within a bracket.
    """
    counts = full.counts
    middle = float(counts @ full.means) / float(counts.sum())
    x = full.means - middle
    scale = float(np.abs(x).max())
    x = x / scale
    # A row at its limit would have all the weight, which is a score of minus infinity.
    low = np.full(len(target), (1.0 - _EDGE) / float(x.min()))
    high = np.full(len(target), (1.0 - _EDGE) / float(x.max()))
    spread = float(np.sqrt(counts @ x**2))
    a = np.clip(target / spread, 0.7 * low, 0.7 * high)
    before: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    t = np.zeros(len(target))
    for _ in range(_OUTER):
        t, z = _at_tilt(x, counts, a)
        if float(np.abs(z - target).max()) < _CLOSE:
            break
        high, low = np.where(z > target, a, high), np.where(z > target, low, a)
        slope = np.full(len(target), spread)
        if before is not None:
            apart, rise = a - before[0], z - before[1]
            straight = np.divide(rise, apart, out=slope.copy(), where=apart != 0.0)
            slope = np.where(straight > 0.0, straight, slope)
        before = a, z
        step = a - (z - target) / slope
        a = np.where((step > low) & (step < high), step, (low + high) / 2.0)
    return middle + scale * t


def _at_tilt(
    x: NDArray[np.float64], counts: NDArray[np.float64], a: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bound and its normal score at tilts ``(t,)``; see ``_tilted``."""
    share = 1.0 - a[:, None] * x[None, :]
    weights = counts / share
    t = (weights @ x) / weights.sum(axis=1)
    rest = 1.0 - a * t
    turned = (x[None, :] - t[:, None]) / share * rest[:, None]
    root, u, skew = _parts(
        a / rest, np.log(share) @ counts - counts.sum() * np.log(rest), turned, counts
    )
    return t, _corrected(root, u, skew)


def _parts(
    s: NDArray[np.float64],
    logs: NDArray[np.float64],
    turned: NDArray[np.float64],
    counts: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Signed root, standardised saddlepoint and skewness; ``logs`` is the cumulant, negated."""
    squares = turned**2
    second = squares @ counts
    root = np.sign(s) * np.sqrt(np.maximum(2.0 * logs, 0.0))
    skew = 2.0 * ((squares * turned) @ counts) / second**1.5
    return root, s * np.sqrt(second), skew


def _corrected(
    root: NDArray[np.float64], u: NDArray[np.float64], skew: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Normal score of Barndorff-Nielsen; at the mean itself a sixth of the skewness is left."""
    near = np.abs(root) < _NEAR
    safe = np.where(near, 1.0, root)
    return np.where(near, root + skew / 6.0, root + np.log(np.where(near, 1.0, u / safe)) / safe)


def _nested(full: Draws, mean: float, target: NDArray[np.float64]) -> NDArray[np.float64]:
    """For draws of several sizes: Newton within a bracket, a saddlepoint at each step."""
    worst, best = full.worst, float(full.means.max())
    low, high = np.full(len(target), worst), np.full(len(target), best)
    at = low + (mean - low) * 0.9
    at = np.where((at > low) & (at < high), at, (low + high) / 2.0)
    saddle, before = np.zeros(len(target)), None
    for _ in range(_OUTER):
        z, slope, saddle = _score(full, at, saddle)
        if float(np.abs(z - target).max()) < _CLOSE:
            break
        high, low = np.where(z > target, at, high), np.where(z > target, low, at)
        if before is not None:
            apart, rise = at - before[0], z - before[1]
            straight = np.divide(rise, apart, out=slope.copy(), where=apart != 0.0)
            slope = np.where(straight > 0.0, straight, slope)
        before = at, z
        step = at - (z - target) / slope
        inside = (step > low) & (step < high)
        at = np.where(inside, step, (low + high) / 2.0)
    return at


def _score(
    draws: Draws, at: NDArray[np.float64], start: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Normal score of the probability that the weighted mean is below ``at``.

    Returns:
        The score, its slope without the correction, and the saddlepoints, each ``(t,)``.
    """
    sizes, counts = draws.sizes, draws.counts
    c = (draws.means[None, :] - at[:, None]) * sizes[None, :]
    s = _saddlepoint(c, counts, start)
    share = 1.0 - s[:, None] * c
    turned = c / share
    root, u, skew = _parts(s, np.log(share) @ counts, turned, counts)
    rise = (sizes[None, :] / share) @ counts
    near = np.abs(root) < _NEAR
    slope = np.where(near, rise / np.sqrt((turned**2) @ counts), s * rise / np.where(near, 1, root))
    return _corrected(root, u, skew), slope, s


def _saddlepoint(
    c: NDArray[np.float64], counts: NDArray[np.float64], start: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Root of ``sum(counts c / (1 - s c))`` per row of ``(t, u)``.

    It is where ``-sum(counts log(1 - s c))`` is smallest. That function is self-concordant, so
    that Newton's steps, damped while they are long (Nesterov & Nemirovskii 1994), neither leave its
    domain nor fail.
    """
    top, bottom = np.maximum(c.max(axis=1), 1e-300), np.minimum(c.min(axis=1), -1e-300)
    s = np.where((start * top < 1.0) & (start * bottom < 1.0), start, 0.0)
    for _ in range(_INNER):
        turned = c / (1.0 - s[:, None] * c)
        first, second = turned @ counts, np.einsum("tu,tu,u->t", turned, turned, counts)
        length = np.abs(first) / np.sqrt(second)
        s = s - first / second / np.where(length > _LONG, 1.0 + length, 1.0)
        if bool((length < _CLOSE).all()):
            break
    return s
