"""What a scorecard is made from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milepost.entities.estimate import Estimate
from milepost.entities.kinds import KINDS, Kind, width_of
from milepost.entities.scorecard import Regime
from milepost.entities.task import Objective
from milepost.metrics.inference.intervals import Sampling
from milepost.metrics.scoring.deciding import decided
from milepost.metrics.scoring.measures import Measure, Sample, counted


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Evidence:
    """What a scorecard is made from: ``n`` rows over ``k`` labels.

    Attributes:
        labels: The ``k`` label names, in the order of the columns.
        kind: Kind of the task.
        objective: The task's objective; gives the metric and the slices' predicates.
        regime: How the predictions came about.
        y: ``(n,) int64`` actual labels in ``[-1, k)``; ``-1`` is a label that the task does not
            know and always counts as wrong. Of other kinds the truths as
            ``milepost.entities.kinds.truths`` gives them.
        probabilities: ``(n, k) float32``, calibrated; of a score ``(n, 1)``, the answers.
        judged: ``(n, k) float32``, the probabilities as measures of answers read them; as they are
            when ``None``.
        measure: The objective's measure; by name when ``None``, where it is one of confusion
            counts.
        ids: Id of each row.
        texts: Input of each row.
        slice_masks: ``(n,)`` bool per declared slice.
        temperature: Temperature that the probabilities were calibrated with.
        looks: Looks at these examples, this one included; 0 where none is recorded.
        sampling: Confidence, resamples and seed.
        selection: Estimate of the objective's metric with the optimism of choosing removed; it
            replaces the plain one. ``None`` on rows never used to choose.
        notes: Sentences for the reader.
        provenance: Digests.
        units: ``(n,) int64``, equal for rows that are not independent of each other, such as
            near-duplicates in a test file; ``None`` where all rows are.
        groups: How many groups of the task's own group column these are; 0 where it names none.
    """

    labels: tuple[str, ...]
    objective: Objective
    regime: Regime
    y: NDArray[Any]
    probabilities: NDArray[np.float32]
    ids: tuple[str, ...]
    texts: tuple[str, ...]
    slice_masks: Mapping[str, NDArray[np.bool_]] = field(
        default_factory=dict[str, NDArray[np.bool_]]
    )
    temperature: float = 1.0
    looks: int = 0
    sampling: Sampling = field(default_factory=Sampling)
    selection: Estimate | None = None
    notes: tuple[str, ...] = ()
    provenance: Mapping[str, str] = field(default_factory=dict[str, str])
    measure: Measure | None = None
    units: NDArray[np.int64] | None = None
    groups: int = 0
    kind: Kind = "classify"
    judged: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        """Check that the columns fit together.

        Raises:
            ValueError: If lengths differ, there are no rows or a probability is not finite.
        """
        n = len(self.y)
        if n == 0:
            raise ValueError("a scorecard needs at least one labelled row")
        width = width_of(KINDS[self.kind].link, len(self.labels))
        if self.probabilities.shape != (n, width):
            raise ValueError(
                f"probabilities have shape {self.probabilities.shape}, not ({n}, {width})"
            )
        if len(self.ids) != n or len(self.texts) != n:
            raise ValueError("ids and texts must be as many as the labels")
        if any(mask.shape != (n,) for mask in self.slice_masks.values()):
            raise ValueError("slice masks must be as long as the labels")
        if not bool(np.isfinite(self.probabilities).all()):
            raise ValueError("probabilities hold a value that is not finite")

    @property
    def judged_by(self) -> Measure:
        """The objective's measure."""
        return self.measure or counted(self.objective.metric)

    @property
    def sample(self) -> Sample:
        """The rows as measures of answers take them."""
        given = self.probabilities if self.judged is None else self.judged
        return Sample(self.y, given, self.units)

    @property
    def beliefs(self) -> Sample:
        """The rows as measures of probabilities take them."""
        return Sample(self.y, self.probabilities, self.units)

    @property
    def answers(self) -> NDArray[np.int64]:
        """Most probable label of each row, ``(n,) int64``; -1 where nothing is decided."""
        return decided(self.probabilities)
