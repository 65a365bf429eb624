"""What mistakes cost, brought between 0 and 1, so that one test serves counts and costs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Costs:
    """What each answer costs for each actual label.

    Attributes:
        table: ``(k, k)`` cost of each answered label (column) for each actual one (row).
    """

    table: Array

    @property
    def least(self) -> float:
        """The smallest cost that there is."""
        return float(self.table.min())

    @property
    def span(self) -> float:
        """From the smallest to the largest cost; 0 where all are the same."""
        return float(np.ptp(self.table))

    def of(self, actual: NDArray[np.int64], answered: NDArray[np.int64]) -> Array:
        """Cost of each answer, ``(n,)``.

        An unknown label or answer, -1, costs the most that it can, as for the measure ``utility``.
        """
        known = np.vstack([self.table, self.table.max(axis=0)])
        known = np.hstack([known, known.max(axis=1, keepdims=True)])
        return known[actual, answered]

    def scaled(self, costs: Array | float) -> Array:
        """Costs as losses between 0 and 1."""
        return (np.asarray(costs, np.float64) - self.least) / self.span
