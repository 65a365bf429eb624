"""Two ratios of sums over the same units, such as F1 of labels or spans: which is higher?

A unit is what was drawn independently, such as a text, whatever number of labels or spans it has.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.metrics.inference.comparison import Test, swaps_wanted
from milepost.metrics.inference.intervals import Sampling

_CHUNK = 2_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Ratios:
    """What ``u`` units add to the ratios of two.

    Attributes:
        parts: ``(2, u)`` summands above the line: of the first, and of the second.
        sizes: ``(2, u)`` summands below it, each at least as large as its part.
    """

    parts: NDArray[np.float64]
    sizes: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            ValueError: If they differ, or there is no unit.
        """
        if self.parts.shape != self.sizes.shape or self.parts.shape[1:] == (0,):
            raise ValueError(f"ratios of shapes {self.parts.shape} and {self.sizes.shape}")

    @classmethod
    def of(
        cls, parts: NDArray[np.float64], sizes: NDArray[np.float64], units: NDArray[np.int64]
    ) -> "Ratios":
        """Summed by unit.

        Args:
            parts: ``(2, n)``.
            sizes: ``(2, n)``.
            units: ``(n,)`` unit of each summand.
        """
        _, unit = np.unique(units, return_inverse=True)
        unit = unit.reshape(-1)
        summed = [
            np.stack([np.bincount(unit, row) for row in each]).astype(np.float64)
            for each in (parts, sizes)
        ]
        return cls(summed[0], summed[1])

    @property
    def values(self) -> NDArray[np.float64]:
        """Both ratios, ``(2,)``; 1 where nothing stands below the line."""
        return _ratio(self.parts.sum(axis=1), self.sizes.sum(axis=1))


def swapped(ratios: Ratios, sampling: Sampling) -> Test:
    """Paired randomisation test of two ratios (Noreen 1989; Yeh 2000, who tests F1 so).

    If the two are exchangeable, swapping what they say of any unit changes nothing; the p-value is
    the share of random swaps, the actual one included, that favour the first at least as much.
    """
    first, second = ratios.values
    found = float(first - second)
    moved = np.stack([ratios.parts[1] - ratios.parts[0], ratios.sizes[1] - ratios.sizes[0]], axis=1)
    moved = moved[(moved != 0.0).any(axis=1)]
    sums = np.stack([ratios.parts.sum(axis=1), ratios.sizes.sum(axis=1)], axis=1)
    rng = np.random.default_rng(sampling.seed)
    resamples = swaps_wanted(sampling)
    step = max(1, _CHUNK // max(len(moved), 1))
    above = below = 0
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        taken = rng.integers(0, 2, (size, len(moved))).astype(np.float64) @ moved
        one, other = sums[0] + taken, sums[1] - taken
        drawn = _ratio(one[:, 0], one[:, 1]) - _ratio(other[:, 0], other[:, 1])
        above += int((drawn >= found - 1e-12).sum())
        below += int((drawn <= found + 1e-12).sum())
    total = resamples + 1
    return Test(
        p_better=(above + 1) / total, p_worse=(below + 1) / total, method="paired randomisation"
    )


def difference(ratios: Ratios, confidence: float) -> tuple[float, float, float]:
    """Difference of the two ratios, first minus second, and its interval.

    A Wald interval of the linearised difference (Woodruff 1971), widened as
    ``comparison.paired_difference`` is, so that it does not collapse where the two never differ.

    Args:
        ratios: The two.
        confidence: Two-sided coverage, in (0, 1).

    Returns:
        Difference, lower end, upper end; within -1 and 1.
    """
    from scipy.special import ndtri

    n, values = float(ratios.parts.shape[1]), ratios.values
    totals = ratios.sizes.sum(axis=1)
    weights = np.divide(n, totals, out=np.zeros(2), where=totals > 0)
    linear = (ratios.parts - values[:, None] * ratios.sizes) * weights[:, None]
    spread = float((linear[0] - linear[1]).var(ddof=1)) / n if n > 1 else 0.0
    z = float(ndtri(0.5 + confidence / 2.0))
    floor = z / (n + z * z)
    half = z * float(np.sqrt(spread + floor**2))
    apart = float(values[0] - values[1])
    return apart, max(-1.0, apart - half), min(1.0, apart + half)


def _ratio(part: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, size, out=np.ones_like(part), where=size > 0)
