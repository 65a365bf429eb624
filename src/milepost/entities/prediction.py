"""What a predictor answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import InputError

NO_ANSWER = "(no answer)"
"""Name under which answers that decide nothing appear among labels."""


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Answers to a batch of ``n`` inputs over ``k`` labels.

    Attributes:
        labels: The ``k`` label names, in the order of the columns.
        probabilities: ``(n, k) float32``, calibrated; rows sum to 1.
        abstain_below: Confidence below which no label is given; ``None`` where every input is
            answered.
        rungs: Which rung of a cascade answered each input, ``(n,) int64`` into ``rung_names``;
            ``None`` where there is no cascade.
        rung_names: Names of the rungs, cheapest first.
        set_thresholds: By what sets of labels promise: largest doubt, 1 minus the probability, of
            a label that is in the set; empty where no set was examined.
    """

    labels: tuple[str, ...]
    probabilities: NDArray[np.float32]
    abstain_below: float | None = None
    set_thresholds: Mapping[str, float] = field(default_factory=dict[str, float])
    rungs: NDArray[np.int64] | None = None
    rung_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def label_ids(self) -> NDArray[np.int64]:
        """Column of the most probable label, ``(n,) int64``; the first one on ties.

        Also of a row that decides nothing; ``answers`` and ``abstained`` tell those apart.
        """
        return np.argmax(self.probabilities, axis=1)

    @property
    def abstained(self) -> NDArray[np.bool_]:
        """Whether the answer is withheld, ``(n,)``: nothing is decided, or not surely enough."""
        nothing = undecided(self.probabilities)
        if self.abstain_below is None:
            return nothing
        return nothing | (self.confidence.astype(np.float64) < self.abstain_below)

    @property
    def answered_by(self) -> tuple[str, ...]:
        """Name of the rung that answered each input; empty where there is no cascade."""
        if self.rungs is None:
            return ()
        return tuple(self.rung_names[at] for at in self.rungs.tolist())

    @property
    def answers(self) -> tuple[str | None, ...]:
        """Most probable label of each input; ``None`` where the answer is withheld."""
        return tuple(
            None if withheld else self.labels[i]
            for i, withheld in zip(self.label_ids, self.abstained, strict=True)
        )

    def sets(self, coverage: float) -> tuple[tuple[str, ...], ...]:
        """For each input the labels that it may have, most probable first; never none.

        The sets hold the right label at least as often as ``coverage`` says, with 95 % confidence,
        for inputs like those that the thresholds were set on; of an answer that is withheld too.

        Args:
            coverage: One of the promises that were examined, such as 0.9.

        Raises:
            InputError: If it is none of them.
        """
        limit = set_threshold(self.set_thresholds, coverage)
        doubt = 1.0 - self.probabilities.astype(np.float64)
        order = np.argsort(doubt, axis=1, kind="stable")
        return tuple(
            tuple(self.labels[i] for at, i in enumerate(row) if at == 0 or mine[i] <= limit)
            for row, mine in zip(order.tolist(), doubt, strict=True)
        )

    @property
    def confidence(self) -> NDArray[np.float32]:
        """Probability of the most probable label, ``(n,) float32``."""
        if not len(self.probabilities):
            return np.zeros(0, np.float32)
        return self.probabilities.max(axis=1)


def undecided(probabilities: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Rows whose labels are all equally probable, so that none is meant.

    Args:
        probabilities: ``(..., n, k)``.

    Returns:
        ``(..., n)``; with a single label nothing is undecided.
    """
    if probabilities.shape[-1] < 2:
        return np.zeros(probabilities.shape[:-1], np.bool_)
    return probabilities.max(axis=-1) == probabilities.min(axis=-1)


def set_threshold(thresholds: Mapping[str, float], coverage: float) -> float:
    """The threshold of sets that promise so much.

    Raises:
        InputError: If there is none.
    """
    found = thresholds.get(f"{coverage:g}")
    if found is not None:
        return found
    known = ", ".join(sorted(thresholds))
    raise InputError(
        f"there are no sets of labels that hold the right one with {coverage:g}.",
        advice=(
            f"There are some for {known}."
            if known
            else "Its examination had too few examples for any; label more and improve again."
        ),
    )
