"""A predictor that knows inputs out of scope: another predictor with a detector before it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import CorruptError
from milepost.metrics.knowing.scope import SCORES, Geometry, scope_scores
from milepost.predictors.base import Batch, Predictor, Spaces
from milepost.predictors.parts import (
    ADVICE,
    Expected,
    check_arrays,
    check_parameters,
    corrupt_array,
)
from milepost.predictors.plain import PLAIN

NOTHING = 1e6
"""A threshold that nothing exceeds: too few examples to set one that keeps enough."""

_INNER = "inner."


class _Parameters(msgspec.Struct, frozen=True):
    """Parameters of the detector and of the predictor that it stands before."""

    kind: str
    inner_labels: tuple[str, ...]
    inner_temperature: float
    inner: dict[str, object]
    label: str
    threshold: float
    slope: float
    score: str
    compared: dict[str, float]


@dataclass(frozen=True, eq=False, kw_only=True)
class ScopedPredictor(Predictor):
    """Answers ``label`` exactly where the score lies above the threshold, else as the inner one.

    Attributes:
        inner: Answers inputs in scope; its labels are those of this one, with or without ``label``.
        label: The label that stands for "none of them".
        threshold: Largest score that is in scope; ``NOTHING`` where it was not known.
        slope: Log-odds of being out of scope that one unit of the score is worth, > 0.
        weights: ``(m,) float64`` share of each of ``SCORES`` in the score, some above 0.
        centre: ``(m,) float64`` mean of each score on inputs in scope.
        scale: ``(m,) float64`` their spread, > 0.
        geometry: Where the vectors of inputs in scope lie.
        score_name: What the score is called.
        compared: AUROC of each score that was tried, out of fold.
    """

    kind: ClassVar[str] = "scoped"
    uses: ClassVar[Literal["text", "vectors"]] = "vectors"

    inner: Predictor
    label: str
    threshold: float
    slope: float
    weights: NDArray[np.float64]
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    geometry: Geometry
    score_name: str = "combined"
    compared: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def spaces(self) -> Spaces:
        """That of the inner predictor; the encoder's own where the inner one reads text."""
        return self.inner.spaces or (None,)

    def logits(self, batch: Batch) -> NDArray[np.float64]:
        """In-scope log-probabilities, and for ``label`` their largest plus the margin."""
        vectors = batch.require_vectors(self.geometry.means.shape[1])
        if not len(batch):
            return np.zeros((0, len(self.labels)))
        raw = self.inner.logits(batch)
        columns = [self.inner.labels.index(each) for each in self.labels if each != self.label]
        own = raw[:, columns] / self.inner.temperature
        known = own - np.logaddexp.reduce(own, axis=1, keepdims=True)
        margin = self.slope * (self.score(raw, vectors) - self.threshold)
        at = self.labels.index(self.label)
        return np.insert(known, at, known.max(axis=1) + margin, axis=1)

    def score(self, raw: NDArray[np.float64], vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """How far each input lies out of scope, ``(n,)``.

        Args:
            raw: ``(n, k)`` logits of the inner predictor.
            vectors: ``(n, d)``.
        """
        label = self.label if self.label in self.inner.labels else None
        at = None if label is None else self.inner.labels.index(label)
        scores = scope_scores(raw / self.inner.temperature, vectors, self.geometry, at)
        return ((scores - self.centre) / self.scale) @ self.weights

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """Those of the detector, and those of the inner predictor under ``inner.``."""
        return {
            "weights": self.weights,
            "centre": self.centre,
            "scale": self.scale,
            "means": self.geometry.means,
            "names": self.geometry.names,
            "within": self.geometry.within,
            "middle": self.geometry.middle,
            "total": self.geometry.total,
            **{_INNER + name: array for name, array in self.inner.arrays().items()},
        }

    def parameters(self) -> dict[str, object]:
        """Kind, labels, temperature and parameters of the inner one; threshold and slope."""
        return {
            "kind": self.inner.kind,
            "inner_labels": list(self.inner.labels),
            "inner_temperature": float(self.inner.temperature),
            "inner": self.inner.parameters(),
            "label": self.label,
            "threshold": self.threshold,
            "slope": self.slope,
            "score": self.score_name,
            "compared": dict(self.compared),
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
        _check(content, labels)
        own = {name: each for name, each in arrays.items() if not name.startswith(_INNER)}
        means = own.get("means")
        d = means.shape[1] if means is not None and means.ndim == 2 else None
        m, real = len(SCORES), np.float64
        check_arrays(
            own,
            {
                "weights": Expected(real, (m,)),
                "centre": Expected(real, (m,)),
                "scale": Expected(real, (m,)),
                "means": Expected(np.float32, (None, d)),
                "names": Expected(np.float32, (None, d)),
                "within": Expected(np.float32, (d, d)),
                "middle": Expected(np.float32, (d,)),
                "total": Expected(np.float32, (d, d)),
            },
        )
        numbers: dict[str, Any] = {
            name: np.asarray(own[name], real) for name in ("weights", "centre", "scale")
        }
        if not (numbers["scale"] > 0).all():
            raise corrupt_array("scale", "holds a value that is not above 0.")
        if not (len(own["means"]) and len(own["names"])):
            raise corrupt_array("means", "is empty.")
        inner = PLAIN[content.kind].from_parts(
            content.inner_labels,
            content.inner_temperature,
            {n.removeprefix(_INNER): a for n, a in arrays.items() if n.startswith(_INNER)},
            content.inner,
        )
        geometry = {
            name: np.asarray(own[name], np.float32)
            for name in ("means", "names", "within", "middle", "total")
        }
        return cls(
            labels=labels,
            temperature=temperature,
            inner=inner,
            label=content.label,
            threshold=content.threshold,
            slope=content.slope,
            geometry=Geometry(**geometry),
            score_name=content.score,
            compared=content.compared,
            **numbers,
        )


def _check(content: _Parameters, labels: tuple[str, ...]) -> None:
    """Refuse parameters that do not fit each other.

    Raises:
        CorruptError: With what is wrong.
    """
    others = tuple(each for each in labels if each != content.label)
    known = tuple(each for each in content.inner_labels if each != content.label)
    numbers = (content.threshold, content.slope, content.inner_temperature)
    wrong = None
    if content.kind not in PLAIN:
        wrong = f"there is no plain kind {content.kind!r}."
    elif len(others) + 1 != len(labels) or known != others:
        wrong = "the labels of the inner predictor are not those of the bundle."
    elif not np.isfinite(numbers).all() or content.slope <= 0 or content.inner_temperature <= 0:
        wrong = "threshold, slope or temperature is out of range."
    if wrong is not None:
        raise CorruptError(wrong, where="parameters.json", advice=ADVICE)
