"""One engine for every measure: a value, what each row adds to it, bounds and paired tests.

Measures that are a function of confusion counts keep their exact jackknife (``intervals``). Every
other one is brought into the form of a mean: either it is one (log loss, Brier score, utility, hit
rate), or its pseudo-values are taken, whose mean it is to first order (DeLong, DeLong &
Clarke-Pearson 1988 for AUROC; Tukey's jackknife for a function that somebody wrote). Bounds and
tests then come from ``bounded``: at any confidence, and never of width 0.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.metrics.bounded import Draws
from milepost.metrics.classification import METRICS, brier_rows, log_loss_rows
from milepost.metrics.confusion import Cells
from milepost.metrics.intervals import Bounded, Measured, measure

BLOCKS = 50
"""Blocks of the jackknife of a user's function: it is called about this often per estimate."""

_CHANGED = 16

Function = Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]], float]
"""Of ``(n,)`` actual labels, ``(n,)`` answers and ``(n, k)`` probabilities."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Judged rows.

    Attributes:
        y: ``(n,) int64`` actual labels in ``[-1, k)``; -1 is one that the task does not know.
        probabilities: ``(n, k)``.
    """

    y: NDArray[np.int64]
    probabilities: NDArray[np.float32]

    @property
    def answers(self) -> NDArray[np.int64]:
        """Most probable label of each row."""
        return self.probabilities.argmax(axis=1)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "Sample":
        """Some of the rows."""
        return Sample(self.y[rows], self.probabilities[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A measure as a mean of draws.

    Attributes:
        value: The measure.
        means: ``(u,)`` what each draw says of it; their mean is the value to first order.
        sizes: ``(u,)`` rows of each draw; ``None`` for one each.
        worst: Lowest that a row not seen could say.
        best: Highest.
    """

    value: float
    means: NDArray[np.float64]
    sizes: NDArray[np.float64] | None
    worst: float
    best: float


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
    """

    value: float
    n: int
    draws: Draws
    low: float
    high: float
    method: str = "gaffke"

    def bounds(self, tail: float) -> tuple[float, float]:
        """Lower and upper bound that each miss with probability at most about ``tail``."""
        low, high = self.draws.bounds(np.array([tail]))
        shift = self.value - self.draws.mean
        return max(self.low, float(low[0]) + shift), min(self.high, float(high[0]) + shift)


@dataclass(frozen=True, slots=True, eq=False)
class Measure:
    """A measure by name.

    Attributes:
        name: Its name.
        higher: Whether higher is better.
        low: Smallest value.
        high: Largest value.
        read: Its value and draws; ``None`` for a measure of confusion counts.
    """

    name: str
    higher: bool
    low: float
    high: float
    read: Callable[[Sample], Reading] | None

    @property
    def sign(self) -> float:
        """1 where higher is better, else -1."""
        return 1.0 if self.higher else -1.0

    def value(self, sample: Sample) -> float:
        """The measure of a sample."""
        if self.read is None:
            cells = Cells.of(sample.y, sample.answers, sample.probabilities.shape[1])
            return float(METRICS[self.name](cells.totals()))
        return self.read(sample).value

    def found(self, sample: Sample) -> Bounded:
        """Value and bounds of a sample; exact bounds for shares of rows."""
        n = len(sample.y)
        if self.read is None:
            return measure(
                self.name, Cells.of(sample.y, sample.answers, sample.probabilities.shape[1])
            )
        read = self.read(sample)
        if self.name.startswith("hit_rate@"):
            return Measured(
                value=read.value, size=float(n), chance=0.0, n=n, method="clopper_pearson"
            )
        draws = Draws.of(read.means, read.worst, read.best, read.sizes)
        return Found(read.value, n, draws, self.low, self.high)

    def apart(self, first: Sample, second: Sample) -> Draws:
        """Draws of the difference, first minus second, on the same rows.

        Raises:
            KeyError: For a measure of confusion counts, which has a test of its own.
        """
        if self.read is None:
            raise KeyError(self.name)
        one, other = self.read(first), self.read(second)
        reach = max(one.best, other.best) - min(one.worst, other.worst)
        return Draws.of(one.means - other.means, -reach, reach, one.sizes)


def counted(name: str) -> Measure:
    """A measure of confusion counts.

    Raises:
        KeyError: If there is no such measure.
    """
    if name not in METRICS:
        raise KeyError(name)
    return Measure(name, higher=True, low=-1.0 if name == "mcc" else 0.0, high=1.0, read=None)


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
    """Share of rows whose label is among the ``most`` most probable ones."""

    def read(sample: Sample) -> Reading:
        given = sample.probabilities[np.arange(len(sample.y)), np.maximum(sample.y, 0)][:, None]
        earlier = np.arange(sample.probabilities.shape[1])[None, :] < sample.y[:, None]
        ahead = (sample.probabilities > given) | ((sample.probabilities == given) & earlier)
        rows = ((ahead.sum(axis=1) < most) & (sample.y >= 0)).astype(np.float64)
        return Reading(float(rows.mean()), rows, None, 0.0, 1.0)

    return Measure(f"hit_rate@{most}", higher=True, low=0.0, high=1.0, read=read)


def utility(costs: NDArray[np.float64]) -> Measure:
    """Mean value of an answer: less what it costs (Elkan 2001).

    Args:
        costs: ``(k, k)`` cost of each answered label (column) for each actual one (row). A row
            with an unknown label costs the most that its answer can cost.
    """
    known = np.vstack([costs, costs.max(axis=0)])

    def read(sample: Sample) -> Reading:
        rows = -known[sample.y, sample.answers]
        return Reading(float(rows.mean()), rows, None, -float(costs.max()), -float(costs.min()))

    return Measure(
        "utility", higher=True, low=-float(costs.max()), high=-float(costs.min()), read=read
    )


def auroc() -> Measure:
    """Area under the ROC curve, the mean over labels of one against the rest.

    A label takes part where it has rows and others have; with two labels this is the usual area.
    Each row's part is its structural component (DeLong et al. 1988, equations 3 and 4).
    """

    def read(sample: Sample) -> Reading:
        parts = [_delong(sample, label) for label in range(sample.probabilities.shape[1])]
        kept = [part for part in parts if part is not None]
        if not kept:
            return Reading(0.5, np.full(len(sample.y), 0.5), None, 0.0, 1.0)
        value = float(np.mean([part.value for part in kept]))
        means = np.mean([part.means for part in kept], axis=0)
        # One row at its worst for the rarest label: for the others it is one of very many.
        worst = value + min(part.worst - part.value for part in kept) / len(kept)
        best = value + max(part.best - part.value for part in kept) / len(kept)
        return Reading(value, means, None, worst, best)

    return Measure("auroc", higher=True, low=0.0, high=1.0, read=read)


def _delong(sample: Sample, label: int) -> Reading | None:
    from scipy.stats import rankdata

    positive = sample.y == label
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if ones == 0 or zeros == 0:
        return None
    scores = sample.probabilities[:, label].astype(np.float64)
    every = rankdata(scores)
    means = np.empty(len(scores))
    above = (every[positive] - rankdata(scores[positive])) / zeros
    below = 1.0 - (every[~positive] - rankdata(scores[~positive])) / ones
    value, n = float(above.mean()), len(scores)
    means[positive] = value + (above - value) * n / ones
    means[~positive] = value + (below - value) * n / zeros
    rarer = n / min(ones, zeros)
    return Reading(value, means, None, value - value * rarer, value + (1.0 - value) * rarer)


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
        blocks = np.random.default_rng(0).permutation(n) % min(n, BLOCKS)
        sizes = np.bincount(blocks).astype(np.float64)
        means = np.full(len(sizes), whole)
        if n > 1:
            for block, size in enumerate(sizes):
                left = value(sample.take(blocks != block))
                means[block] = whole + (whole - left) * (n - size) / size
        moved = [value(_changed(sample, row)) for row in _spread(n)]
        reach = [whole + n * (each - whole) for each in moved]
        return Reading(whole, means, sizes, min([whole, *reach]), max([whole, *reach]))

    return Measure(name, higher=higher, low=-float("inf"), high=float("inf"), read=read)


def _spread(n: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, n - 1, _CHANGED).astype(np.int64))


def _changed(sample: Sample, row: int) -> Sample:
    """The sample with the probabilities of one row moved on by one label."""
    probabilities = sample.probabilities.copy()
    probabilities[row] = np.roll(probabilities[row], 1)
    return Sample(sample.y, probabilities)
