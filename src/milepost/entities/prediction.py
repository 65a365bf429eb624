"""What a predictor answers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Answers to a batch of ``n`` inputs over ``k`` labels.

    Attributes:
        labels: The ``k`` label names, in the order of the columns.
        probabilities: ``(n, k) float32``, calibrated; rows sum to 1.
    """

    labels: tuple[str, ...]
    probabilities: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def label_ids(self) -> NDArray[np.int64]:
        """Column of the most probable label, ``(n,) int64``; the first one on ties."""
        return np.argmax(self.probabilities, axis=1)

    @property
    def answers(self) -> tuple[str, ...]:
        """Most probable label of each input."""
        return tuple(self.labels[i] for i in self.label_ids)

    @property
    def confidence(self) -> NDArray[np.float32]:
        """Probability of the most probable label, ``(n,) float32``."""
        if not len(self.probabilities):
            return np.zeros(0, np.float32)
        return self.probabilities.max(axis=1)
