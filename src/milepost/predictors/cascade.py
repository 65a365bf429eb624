"""A cascade: predictors in order of cost; an input climbs until one is sure enough of it.

Knows nothing of how the threshold was found; the promise that goes with it is carried along.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.entities.cascade import PERSON, Promise
from milepost.entities.prediction import Predictions, undecided
from milepost.predictors.asking import Asking, drive, nobody
from milepost.predictors.base import Batch, Predictor, Spaces, softmax
from milepost.predictors.members import Member, arrays_of, corrupt, plain_of, restored
from milepost.predictors.parts import check_parameters
from milepost.predictors.reading import part_of, spaces_of

MOST_RUNGS = 12
"""Most rungs that a bundle may have."""

_WORD = "rung"

_TINY = 1e-30
"""Smallest probability whose logarithm is taken; float32 knows none that matters below."""


class _Parameters(msgspec.Struct, frozen=True):
    """Parameters of the cascade and of its rungs."""

    rungs: tuple[Member, ...]
    person: bool
    threshold: float
    promise: Promise | None


@dataclass(frozen=True, eq=False, kw_only=True)
class CascadePredictor(Predictor):
    """Each input is answered by the first rung that is sure enough; the last one answers the rest.

    A rung that decides nothing is never sure. Where the last one decides nothing either, such as a
    language model that cannot be reached, the answer is withheld: no cheaper rung stands in, since
    nothing is promised of what it was not sure of.

    Attributes:
        rungs: Predictors, cheapest first, with the labels of this one.
        names: Name of each rung; one more, ``person``, where people answer what is left.
        threshold: Smallest probability of the most probable label that a rung answers with.
        promise: What was certified of it; ``None`` for nothing.
    """

    kind: ClassVar[str] = "cascade"
    uses: ClassVar[Literal["text", "vectors"]] = "vectors"

    rungs: tuple[Predictor, ...]
    names: tuple[str, ...]
    threshold: float
    promise: Promise | None = None

    @property
    def spaces(self) -> Spaces:
        """Those of all rungs, each once."""
        return spaces_of(self.rungs)

    @property
    def upstreams(self) -> tuple[str, ...]:
        """Those of all rungs, the cheapest first."""
        return tuple(dict.fromkeys(name for rung in self.rungs for name in rung.upstreams))

    @property
    def person(self) -> bool:
        """Whether people answer what no rung is sure of."""
        return len(self.names) > len(self.rungs)

    def logits(self, batch: Batch) -> NDArray[np.float64]:
        """Log-probabilities of the rung that answers; all equal where the answer is withheld.

        Raises:
            ValueError: If a rung asks language models; drive ``scoring`` then.
        """
        return drive(self.scoring(batch), nobody)

    def scoring(self, batch: Batch) -> Asking[NDArray[np.float64]]:
        """See :meth:`Predictor.scoring`; questions are asked only for the inputs that climb."""
        logits, _ = yield from self._climbing(batch)
        return logits

    def answering(self, batch: Batch) -> Asking[Predictions]:
        """See :meth:`Predictor.answering`; says which rung answered."""
        logits, rung = yield from self._climbing(batch)
        probabilities = softmax(logits / self.temperature)
        return Predictions(self.labels, probabilities, rungs=rung, rung_names=self.names)

    def _climbing(self, batch: Batch) -> Asking[tuple[NDArray[np.float64], NDArray[np.int64]]]:
        n, last, spaces = len(batch), len(self.names) - 1, self.spaces
        logits = np.zeros((n, len(self.labels)))
        rung = np.full(n, last, np.int64)
        left = np.arange(n)
        for at, each in enumerate(self.rungs):
            if not len(left):
                break
            found = yield from each.answering(part_of(_rows(batch, left), spaces, each))
            own = found.probabilities
            sure = ~undecided(own)
            if at < last:
                sure &= own.max(axis=1).astype(np.float64) >= self.threshold
            rows = left[sure]
            logits[rows] = np.log(np.maximum(own[sure].astype(np.float64), _TINY))
            rung[rows] = at
            left = left[~sure]
        return logits, rung

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """Those of each rung, under ``rung0.``, ``rung1.`` and so on."""
        return arrays_of(self.rungs, _WORD)

    def parameters(self) -> dict[str, object]:
        """Kind, name, temperature and parameters of each rung; threshold and promise."""
        return {
            "rungs": plain_of(self.names[: len(self.rungs)], self.rungs),
            "person": self.person,
            "threshold": float(self.threshold),
            "promise": None if self.promise is None else msgspec.to_builtins(self.promise),
        }

    @classmethod
    def from_parts(
        cls,
        labels: tuple[str, ...],
        temperature: float,
        arrays: Mapping[str, NDArray[np.generic]],
        parameters: Mapping[str, object],
    ) -> Self:
        """See :meth:`Predictor.from_parts`."""
        content = check_parameters(parameters, _Parameters)
        if not 1 <= len(content.rungs) + content.person - 1 < MOST_RUNGS:
            raise corrupt(f"it has {len(content.rungs)} rungs.")
        if not 0.0 <= content.threshold <= 1.0:
            raise corrupt("the threshold is out of range.")
        rungs = restored(labels, content.rungs, arrays, _WORD)
        if cls.uses == "text" and any(rung.uses == "vectors" for rung in rungs):
            raise corrupt("a rung reads vectors, which this kind never gets.")
        names = tuple(each.name for each in content.rungs)
        return cls(
            labels=labels,
            temperature=temperature,
            rungs=rungs,
            names=(*names, PERSON) if content.person else names,
            threshold=content.threshold,
            promise=content.promise,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class TextCascadePredictor(CascadePredictor):
    """A cascade none of whose rungs reads vectors, so that no encoder runs for it."""

    kind: ClassVar[str] = "text_cascade"
    uses: ClassVar[Literal["text", "vectors"]] = "text"


def cascade_of(rungs: tuple[Predictor, ...]) -> type[CascadePredictor]:
    """The kind that such rungs need."""
    reads = any(rung.uses == "vectors" for rung in rungs)
    return CascadePredictor if reads else TextCascadePredictor


def _rows(batch: Batch, rows: NDArray[np.int64]) -> Batch:
    if len(rows) == len(batch):
        return batch
    texts = tuple(batch.texts[row] for row in rows.tolist())
    return Batch(texts, None if batch.vectors is None else batch.vectors[rows])
