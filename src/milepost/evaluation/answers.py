"""Answers of two to the same examples, as they are compared."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from milepost.entities.kinds import KINDS, Kind, width_of
from milepost.metrics.inference.intervals import Sampling
from milepost.metrics.scoring.measures import Measure, Sample

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Answers:
    """Answers of two to the same ``n`` examples over ``k`` labels.

    Attributes:
        task: Task name.
        kind: Kind of the task.
        measure: The objective's measure.
        labels: The ``k`` names of the columns.
        ids: Id of each example.
        texts: Input of each example.
        y: ``(n,) int64`` actual labels in ``[-1, k)``; ``-1`` is one that nobody can get right. Of
            other kinds the truths as ``milepost.entities.kinds.truths`` gives them.
        first: ``(n, k) float32``, probabilities of the first one as measures read them; of a score
            ``(n, 1)``, the answers; of spans as ``milepost.entities.spans`` packs them.
        second: The same of the second one.
        masks: ``(n,) bool`` per declared slice.
        predicates: SQL of each slice.
        candidates: How many candidates one of the two was chosen from on these same examples; the
            comparison pays for it. 1 where neither was.
        sampling: Confidence, resamples and seed.
        units: ``(n,) int64`` unit of each row where some belong together; ``None`` where none do.
    """

    task: str
    kind: Kind = "classify"
    measure: Measure
    labels: tuple[str, ...]
    ids: tuple[str, ...]
    texts: tuple[str, ...]
    y: NDArray[Any]
    first: NDArray[np.float32]
    second: NDArray[np.float32]
    masks: Mapping[str, Bools] = field(default_factory=dict[str, Bools])
    predicates: Mapping[str, str] = field(default_factory=dict[str, str])
    candidates: int = 1
    sampling: Sampling = field(default_factory=Sampling)
    units: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        """Check that the columns fit together.

        Raises:
            ValueError: If lengths differ or there is no example.
        """
        shape = (len(self.y), width_of(KINDS[self.kind].link, len(self.labels)))
        if not len(self.y) or self.first.shape != shape or self.second.shape != shape:
            raise ValueError(f"answers of shapes {self.first.shape} and {self.second.shape}")
        if len(self.ids) != len(self.y) or len(self.texts) != len(self.y):
            raise ValueError("ids and texts must be as many as the labels")

    @property
    def samples(self) -> tuple[Sample, Sample]:
        """The rows of the first and of the second, as measures take them."""
        first, second = (Sample(self.y, each, self.units) for each in (self.first, self.second))
        return first, second

    def take(self, rows: Bools) -> "Answers":
        """Those of some examples, without slices."""
        at = np.flatnonzero(rows).tolist()
        return replace(
            self,
            ids=tuple(self.ids[i] for i in at),
            texts=tuple(self.texts[i] for i in at),
            y=self.y[rows],
            first=self.first[rows],
            second=self.second[rows],
            masks={},
            units=None if self.units is None else self.units[rows],
        )
