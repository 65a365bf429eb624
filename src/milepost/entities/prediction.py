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
        abstain_below: Confidence below which no label is given; ``None`` where every input is
            answered.
    """

    labels: tuple[str, ...]
    probabilities: NDArray[np.float32]
    abstain_below: float | None = None

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def label_ids(self) -> NDArray[np.int64]:
        """Column of the most probable label, ``(n,) int64``; the first one on ties."""
        return np.argmax(self.probabilities, axis=1)

    @property
    def abstained(self) -> NDArray[np.bool_]:
        """Whether the answer is withheld because it is not sure enough, ``(n,)``."""
        if self.abstain_below is None:
            return np.zeros(len(self), np.bool_)
        return self.confidence.astype(np.float64) < self.abstain_below

    @property
    def answers(self) -> tuple[str | None, ...]:
        """Most probable label of each input; ``None`` where the answer is withheld."""
        return tuple(
            None if withheld else self.labels[i]
            for i, withheld in zip(self.label_ids, self.abstained, strict=True)
        )

    @property
    def confidence(self) -> NDArray[np.float32]:
        """Probability of the most probable label, ``(n,) float32``."""
        if not len(self.probabilities):
            return np.zeros(0, np.float32)
        return self.probabilities.max(axis=1)
