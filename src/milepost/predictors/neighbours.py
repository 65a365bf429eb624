"""The predictor that lets the nearest stored examples vote."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import CorruptError
from milepost.entities.kinds import Link
from milepost.predictors.base import Batch, Predictor
from milepost.predictors.parts import (
    ADVICE,
    Expected,
    check_arrays,
    check_parameters,
    corrupt_array,
)

CHUNK_ELEMENTS = 4_000_000
"""Similarities held at once; bounds the memory of a large batch to about 50 MB."""

TIE = 1e-6
"""Similarities closer than this are equal: rounding must not decide who is a neighbour."""


class _Parameters(msgspec.Struct, frozen=True):
    """JSON-able parameters, named as in ``NeighboursPredictor``."""

    neighbours: int
    bandwidth: float
    smoothing: float


@dataclass(frozen=True, eq=False, kw_only=True)
class NeighboursPredictor(Predictor):
    """Kernel-weighted vote of the nearest stored examples (Dudani 1976, exponential kernel).

    Attributes:
        vectors: ``(m, d) float32`` stored examples of unit length.
        y: ``(m,) int64`` index of each one's label; of other links ``(m, k) float32``, 1 where a
            label holds, or ``(m, 1)``, the score.
        neighbours: How many vote, at least 1; all that tie with the last one vote as well.
        bandwidth: Fall of cosine similarity over which a vote shrinks by a factor of e, > 0.
        smoothing: Share of probability spread over all labels, in (0, 1).
    """

    kind: ClassVar[str] = "neighbours"
    uses: ClassVar[Literal["text", "vectors"]] = "vectors"

    vectors: NDArray[np.float32]
    y: NDArray[Any]
    neighbours: int
    bandwidth: float
    smoothing: float

    def logits(self, batch: Batch) -> NDArray[np.float64]:
        """What the votes come to, ``(n, k) float64``: see ``votes_of``."""
        queries = batch.require_vectors(self.vectors.shape[1])
        step = max(1, CHUNK_ELEMENTS // max(len(self.vectors), len(self.labels)))
        result = np.empty((len(queries), len(self.labels)), np.float64)
        for start in range(0, len(queries), step):
            chunk = queries[start : start + step]
            result[start : start + step] = votes_of(
                self.link,
                chunk @ self.vectors.T,
                self.y,
                labels=len(self.labels),
                neighbours=self.neighbours,
                bandwidth=self.bandwidth,
                smoothing=self.smoothing,
            )
        return result

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """``vectors``, and ``y`` or, of other links than the softmax, ``truths``."""
        return {"vectors": self.vectors, "y" if self.y.ndim == 1 else "truths": self.y}

    def parameters(self) -> dict[str, object]:
        """``neighbours``, ``bandwidth`` and ``smoothing``."""
        return {
            "neighbours": self.neighbours,
            "bandwidth": self.bandwidth,
            "smoothing": self.smoothing,
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
        stored = arrays.get("vectors")
        rows = len(stored) if stored is not None and stored.ndim else None
        said = (
            {"truths": Expected(np.float32, (rows, len(labels)))}
            if "truths" in arrays
            else {"y": Expected(np.int64, (rows,))}
        )
        check_arrays(arrays, {"vectors": Expected(np.float32, (rows, None)), **said})
        y = np.asarray(arrays[next(iter(said))])
        if not len(y) or (y.ndim == 1 and (y.min() < 0 or y.max() >= len(labels))):
            raise corrupt_array("y", "is empty, or names a label that does not exist.")
        read = check_parameters(parameters, _Parameters)
        if not (
            read.neighbours >= 1
            and math.isfinite(read.bandwidth)
            and read.bandwidth > 0
            and 0 < read.smoothing < 1
        ):
            raise CorruptError(
                f"neighbours {read.neighbours}, bandwidth {read.bandwidth} and smoothing "
                f"{read.smoothing} are out of range.",
                where="parameters.json",
                advice=ADVICE,
            )
        return cls(
            labels=labels,
            temperature=temperature,
            vectors=np.asarray(arrays["vectors"], np.float32),
            y=y,
            neighbours=read.neighbours,
            bandwidth=read.bandwidth,
            smoothing=read.smoothing,
        )


def votes_of(
    link: Link,
    similarities: NDArray[np.float32],
    y: NDArray[Any],
    *,
    labels: int,
    neighbours: int,
    bandwidth: float,
    smoothing: float,
) -> NDArray[np.float64]:
    """What the votes come to, before they are linked.

    The logarithm of each label's smoothed share of the votes; the log odds of the share that a
    label has, where any number may hold; the weighted mean of scores.

    Args:
        link: From these numbers to an answer.
        similarities: ``(n, m) float32`` of queries to stored examples; ``-inf`` bars a vote, but
            one of each row is finite.
        y: Of the stored examples, as in ``NeighboursPredictor``.
        labels: Number of labels ``k``.
        neighbours: How many vote.
        bandwidth: See ``NeighboursPredictor``.
        smoothing: See ``NeighboursPredictor``.

    Returns:
        ``(n, k) float64``.
    """
    n, m = similarities.shape
    voting = np.isfinite(similarities)
    if neighbours < m:
        last = np.partition(similarities, m - neighbours, axis=1)[:, m - neighbours, None]
        voting &= similarities >= last - np.float32(TIE)
    rows, columns = np.nonzero(voting)
    fall = similarities.max(axis=1)[rows] - similarities[rows, columns]
    weights = np.exp(-fall.astype(np.float64) / bandwidth)
    if link == "softmax":
        votes = np.bincount(rows * labels + y[columns], weights, n * labels).reshape(n, labels)
        votes /= votes.sum(axis=1, keepdims=True)
        return np.log((1 - smoothing) * votes + smoothing / labels)
    shares = np.zeros((n, m))
    shares[rows, columns] = weights
    mean = (shares / shares.sum(axis=1, keepdims=True)) @ y.astype(np.float64)
    if link == "identity":
        return mean
    held = (1 - smoothing) * mean + smoothing / 2.0
    return np.log(held / (1.0 - held))
