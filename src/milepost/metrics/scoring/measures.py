"""One engine for every measure: a value, what each row adds to it, bounds and paired tests.

Measures that are a function of confusion counts keep their exact jackknife (``intervals``). Every
other one is brought into the form of a mean: either it is one (log loss, Brier score, utility, hit
rate), or its pseudo-values are taken, whose mean it is to first order (DeLong, DeLong &
Clarke-Pearson 1988 for AUROC; Tukey's jackknife for a function that somebody wrote). Bounds and
tests then come from ``bounded``: at any confidence, and never of width 0. Shares of rows have
exact bounds, and what behaves like a share has those of its effective sample size.

Rows that belong together, such as the messages of one customer, are no independent evidence. Where
a sample names its units, what its rows say is summed by unit first, and shares are worth as many
rows less as the design effect says (Kish 1965; Korn & Graubard 1998).

The measures themselves are in ``mean_measures``, ``curves``, ``label_measures``, ``ordinal`` and
``calibration_error``.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milepost.metrics.inference.bounded import Draws
from milepost.metrics.inference.intervals import Bounded, Measured, measure
from milepost.metrics.inference.jackknife import leave_one_out
from milepost.metrics.scoring.classification import METRICS
from milepost.metrics.scoring.confusion import Cells
from milepost.metrics.scoring.deciding import decided

BLOCKS = 50
"""Blocks of the jackknife of a user's function: it is called about this often per estimate."""

_CHANGED = 16
_LEVEL = 0.975

Function = Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]], float]
"""Of ``(n,)`` actual labels, ``(n,)`` answers and ``(n, k)`` probabilities.

Both hold -1: a label that the task does not know, and no answer, which is not right for it."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Judged rows.

    Attributes:
        y: ``(n,) int64`` actual labels in ``[-1, k)``; -1 is one that the task does not know. Of
            tasks of other kinds the truths as ``milepost.entities.kinds.truths`` gives them.
        probabilities: ``(n, k)``; of a score ``(n, 1)``, the answers themselves.
        units: ``(n,) int64``, equal for rows that are not independent of each other; ``None``
            where all are.
    """

    y: NDArray[Any]
    probabilities: NDArray[np.float32]
    units: NDArray[np.int64] | None = None

    @property
    def answers(self) -> NDArray[np.int64]:
        """Most probable label of each row; -1 where nothing is decided."""
        return decided(self.probabilities)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "Sample":
        """Some of the rows."""
        units = None if self.units is None else self.units[rows]
        return Sample(self.y[rows], self.probabilities[rows], units)


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A measure as a mean of draws.

    Attributes:
        value: The measure.
        means: ``(u,)`` what each draw says of it; their mean is the value to first order.
        sizes: ``(u,)`` rows of each draw; ``None`` for one each.
        worst: Lowest that a row not seen could say.
        best: Highest.
        share: The measure as a share of independent rows, where it is one or behaves like one;
            its bounds are then used instead of those of the draws.
        centre: What the bounds of the draws lie around, where it is not the value.
        excess: By how much that is too high on average, at most: the lower bound pays for it.
        unseen: Rows in a draw that was not seen: 1, or those of a unit.
        n: What the value is a mean of, where that is not the rows; ``None`` where it is.
    """

    value: float
    means: NDArray[np.float64]
    sizes: NDArray[np.float64] | None
    worst: float
    best: float
    share: Measured | None = None
    centre: float | None = None
    excess: float = 0.0
    unseen: float = 1.0
    n: int | None = None

    def by_unit(self, units: NDArray[np.int64] | None) -> "Reading":
        """The reading with one draw for each unit; draws that are blocks stay as they are."""
        if units is None or self.sizes is not None:
            return self
        sizes = np.bincount(units).astype(np.float64)
        sums, kept = np.bincount(units, self.means), sizes > 0
        means, sizes = sums[kept] / sizes[kept], sizes[kept]
        return replace(self, means=means, sizes=sizes, unseen=float(sizes.mean()))

    def draws(self) -> Draws:
        """The draws, of rows or of units."""
        return Draws.of(self.means, self.worst, self.best, self.sizes, self.unseen)


def design_effect(means: NDArray[np.float64], units: NDArray[np.int64] | None) -> float:
    """How many rows of a sample in units are worth one independent row, at least 1 (Kish 1965).

    The variance of the mean by unit over that by row. Where all rows say the same nothing can be
    seen of it, and a unit counts as little more than one row. Few units make it uncertain, which
    the ratio of the quantiles of Student's t pays for (Korn & Graubard 1998).

    Args:
        means: ``(n,)`` what each row says.
        units: ``(n,)`` their units; ``None`` for independent rows.
    """
    if units is None:
        return 1.0
    from scipy.special import stdtrit

    sizes = np.bincount(units).astype(np.float64)
    sizes, n = sizes[sizes > 0], float(len(means))
    if len(sizes) == len(means):
        return 1.0
    if len(sizes) == 1:
        return n
    apart = means - means.mean()
    by_row = float(apart @ apart)
    sums = np.bincount(units, apart)
    effect = float((sizes**2).sum()) / n if by_row <= 1e-18 else float(sums @ sums) / by_row
    few = float(stdtrit(len(sizes) - 1.0, _LEVEL) / stdtrit(n - 1.0, _LEVEL)) ** 2
    return min(max(effect, 1.0) * few, n)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A measured value around which the bounds of its draws lie.

    Attributes:
        value: The value.
        n: Rows behind it.
        draws: Independent draws.
        low: Smallest value that the measure can have.
        high: Largest.
        method: Name of the interval.
        centre: What the bounds lie around; mostly the value.
        excess: By how much that is too high on average, at most.
    """

    value: float
    n: int
    draws: Draws
    low: float
    high: float
    method: str
    centre: float
    excess: float = 0.0

    def bounds(self, tail: float) -> tuple[float, float]:
        """Lower and upper bound that each miss with probability at most about ``tail``."""
        low, high = self.draws.bounds(np.array([tail]))
        shift = self.centre - self.draws.mean
        below = float(low[0]) + shift - self.excess
        return max(self.low, below), min(self.high, float(high[0]) + shift)


@dataclass(frozen=True, slots=True, eq=False)
class Measure:
    """A measure by name.

    Attributes:
        name: Its name.
        higher: Whether higher is better.
        low: Smallest value.
        high: Largest value.
        read: Its value and draws; ``None`` for a measure of confusion counts.
        ratio: Of a ratio of sums, such as an F1, what each row adds above and below the line,
            ``(n,)`` each; two of those are compared by swapping rows. ``None`` for other measures.
    """

    name: str
    higher: bool
    low: float
    high: float
    read: Callable[[Sample], Reading] | None
    ratio: Callable[[Sample], tuple[NDArray[np.float64], NDArray[np.float64]]] | None = None

    @property
    def sign(self) -> float:
        """1 where higher is better, else -1."""
        return 1.0 if self.higher else -1.0

    def value(self, sample: Sample) -> float:
        """The measure of a sample."""
        if self.read is None:
            return float(METRICS[self.name](_cells(sample).totals()))
        return self.read(sample).value

    def found(self, sample: Sample) -> Bounded:
        """Value and bounds of a sample."""
        if self.read is None and sample.units is None:
            return measure(self.name, _cells(sample))
        read = self.reading(sample)
        n = len(sample.y) if read.n is None else read.n
        if read.share is not None:
            effect = design_effect(read.means, sample.units)
            return read.share if effect <= 1.0 else fewer(read.share, effect)
        return Found(
            value=read.value,
            n=n,
            draws=read.by_unit(sample.units).draws(),
            low=self.low,
            high=self.high,
            method="gaffke" if sample.units is None else "gaffke_by_unit",
            centre=read.value if read.centre is None else read.centre,
            excess=read.excess,
        )

    def apart(self, first: Sample, second: Sample) -> Draws:
        """Draws of the difference, first minus second, on the same rows and units."""
        one, other = self.reading(first), self.reading(second)
        reach = max(one.best, other.best) - min(one.worst, other.worst)
        both = replace(one, means=one.means - other.means, worst=-reach, best=reach)
        return both.by_unit(first.units).draws()

    def reading(self, sample: Sample) -> Reading:
        """The measure as a mean of draws, by the jackknife where it is one of confusion counts."""
        return _counted_reading(self.name, sample) if self.read is None else self.read(sample)


def fewer(share: Measured, effect: float) -> Measured:
    """A share of rows that are worth fewer by the design effect."""
    return replace(
        share, size=max(share.size / effect, min(share.size, 1.0)), method=f"{share.method}_by_unit"
    )


def effective_share(
    value: float, means: NDArray[np.float64], most: float, chance: float = 0.0
) -> Measured:
    """What behaves like a share, with its effective sample size (Korn & Graubard 1998).

    Args:
        value: The measure, at most 1.
        means: ``(n,)`` what each row says of it.
        most: Rows that it can be worth at most: where no error was seen, all that is known.
        chance: The value that counts as no success at all.
    """
    n = len(means)
    span = 1.0 - chance
    share = min(max((value - chance) / span, 0.0), 1.0)
    variance = float(means.var()) / n / span**2
    spread = share * (1.0 - share)
    size = min(spread / variance, most) if variance > 0.0 and spread > 0.0 else most
    return Measured(
        value=value,
        size=max(size, 1.0),
        chance=chance,
        n=n,
        method="clopper_pearson_effective",
    )


def counted(name: str) -> Measure:
    """A measure of confusion counts.

    Raises:
        KeyError: If there is no such measure.
    """
    if name not in METRICS:
        raise KeyError(name)
    return Measure(name, higher=True, low=-1.0 if name == "mcc" else 0.0, high=1.0, read=None)


def _cells(sample: Sample) -> Cells:
    return Cells.of(sample.y, sample.answers, sample.probabilities.shape[1])


def _counted_reading(name: str, sample: Sample) -> Reading:
    """Pseudo-values of the exact jackknife; with the bounds of ``intervals.measure``."""
    cells, n = _cells(sample), len(sample.y)
    share = measure(name, cells)
    means = np.full(n, share.value)
    if n > 1:
        left = leave_one_out(name, cells)
        means = share.value + (n - 1.0) * (
            share.value - left[cells.of_rows(sample.y, sample.answers)]
        )
    low = share.chance
    return Reading(share.value, means, None, low, 1.0, share)


def own(name: str, function: Function, *, higher: bool) -> Measure:
    """A function that a user wrote.

    Each of up to ``BLOCKS`` blocks of rows is left out in turn (Tukey 1958); what one unseen row
    could do is taken from changing the answer of a few rows. The bounds are right to the extent
    that the function is smooth, as means and ratios of sums are; its range is not known.

    Args:
        name: Name of the measure.
        function: The function.
        higher: Whether higher is better.
    """

    def value(sample: Sample) -> float:
        return float(function(sample.y, sample.answers, sample.probabilities))

    def read(sample: Sample) -> Reading:
        n = len(sample.y)
        whole = value(sample)
        blocks = _blocks(n, sample.units)
        sizes = np.bincount(blocks).astype(np.float64)
        means = np.full(len(sizes), whole)
        if len(sizes) > 1:
            for block, size in enumerate(sizes):
                left = value(sample.take(blocks != block))
                means[block] = whole + (whole - left) * (n - size) / size
        moved = [value(_changed(sample, row)) for row in _spread(n)]
        reach = [whole + n * (each - whole) for each in moved]
        unseen = 1.0 if sample.units is None else n / len(np.unique(sample.units))
        worst, best = min([whole, *reach]), max([whole, *reach])
        return Reading(whole, means, sizes, worst, best, unseen=unseen)

    return Measure(name, higher=higher, low=-float("inf"), high=float("inf"), read=read)


def _blocks(n: int, units: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """Block of each row, ``(n,)``: as equal as can be, and no unit in two of them."""
    unit = np.arange(n) if units is None else np.unique(units, return_inverse=True)[1].reshape(-1)
    u = int(unit.max()) + 1
    return (np.random.default_rng(0).permutation(u) % min(u, BLOCKS))[unit]


def _spread(n: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, n - 1, _CHANGED).astype(np.int64))


def _changed(sample: Sample, row: int) -> Sample:
    """The sample with the probabilities of one row moved on by one label."""
    probabilities = sample.probabilities.copy()
    probabilities[row] = np.roll(probabilities[row], 1)
    return Sample(sample.y, probabilities, sample.units)
