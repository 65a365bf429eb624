"""The predictor of every head: one matrix product on encoder vectors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.predictors.base import Batch, Predictor
from milepost.predictors.parts import Expected, check_arrays, check_parameters


class _NoParameters(msgspec.Struct, frozen=True):
    """This kind has none."""


@dataclass(frozen=True, eq=False, kw_only=True)
class LinearPredictor(Predictor):
    """Logits that are linear in the encoder's vector.

    Attributes:
        weights: ``(k, d) float32``.
        bias: ``(k,) float32``.
    """

    kind: ClassVar[str] = "linear"
    uses: ClassVar[Literal["text", "vectors"]] = "vectors"

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    def logits(self, batch: Batch) -> NDArray[np.float64]:
        """``vectors @ weights.T + bias``, ``(n, k) float64``."""
        vectors = batch.require_vectors(self.weights.shape[1])
        return (vectors @ self.weights.T + self.bias).astype(np.float64)

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """``weights`` and ``bias``."""
        return {"weights": self.weights, "bias": self.bias}

    @classmethod
    def from_parts(
        cls,
        labels: tuple[str, ...],
        temperature: float,
        arrays: Mapping[str, NDArray[np.generic]],
        parameters: Mapping[str, object],
    ) -> Self:
        """See :meth:`Predictor.from_parts`."""
        k = len(labels)
        check_arrays(
            arrays,
            {"weights": Expected(np.float32, (k, None)), "bias": Expected(np.float32, (k,))},
        )
        check_parameters(parameters, _NoParameters)
        return cls(
            labels=labels,
            temperature=temperature,
            weights=np.asarray(arrays["weights"], np.float32),
            bias=np.asarray(arrays["bias"], np.float32),
        )
