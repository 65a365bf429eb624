"""The predictor of every head: one matrix product on encoder vectors."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import CorruptError, EncoderError
from milepost.models.adapters import Adapter
from milepost.predictors.base import Batch, Predictor, Spaces
from milepost.predictors.parts import (
    ADVICE,
    Expected,
    check_arrays,
    check_parameters,
    corrupt_array,
)

_ADAPTER = "adapter."
_HALF = re.compile(r"adapter\.(\d{1,4}\.[a-z]{1,32})\.(down|up)")


class _Parameters(msgspec.Struct, frozen=True):
    """Parameters that are no arrays: of the adapter alone, where there is one."""

    encoder: str | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class LinearPredictor(Predictor):
    """Logits that are linear in the encoder's vector.

    Attributes:
        weights: ``(k, d) float32``.
        bias: ``(k,) float32``.
        adapter: With which the encoder runs for it; ``None`` for the encoder alone.
    """

    kind: ClassVar[str] = "linear"
    uses: ClassVar[Literal["text", "vectors"]] = "vectors"

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    adapter: Adapter | None = None

    @property
    def spaces(self) -> Spaces:
        """That of its adapter."""
        return (self.adapter,)

    def logits(self, batch: Batch) -> NDArray[np.float64]:
        """``vectors @ weights.T + bias``, ``(n, k) float64``."""
        vectors = batch.require_vectors(self.weights.shape[1])
        return (vectors @ self.weights.T + self.bias).astype(np.float64)

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """``weights`` and ``bias``; of an adapter ``adapter.<layer>.down`` and ``.up``."""
        own: dict[str, NDArray[np.generic]] = {"weights": self.weights, "bias": self.bias}
        if self.adapter is not None:
            for layer, down in self.adapter.down.items():
                own[f"{_ADAPTER}{layer}.down"] = down
                own[f"{_ADAPTER}{layer}.up"] = self.adapter.up[layer]
        return own

    def parameters(self) -> dict[str, object]:
        """Digest of the encoder that the adapter was made for, where there is one."""
        return {} if self.adapter is None else {"encoder": self.adapter.encoder}

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
        halves = {name: array for name, array in arrays.items() if name.startswith(_ADAPTER)}
        check_arrays(
            {name: array for name, array in arrays.items() if name not in halves},
            {"weights": Expected(np.float32, (k, None)), "bias": Expected(np.float32, (k,))},
        )
        content = check_parameters(parameters, _Parameters)
        return cls(
            labels=labels,
            temperature=temperature,
            weights=np.asarray(arrays["weights"], np.float32),
            bias=np.asarray(arrays["bias"], np.float32),
            adapter=_adapter(halves, content.encoder),
        )


def _adapter(halves: Mapping[str, NDArray[np.generic]], encoder: str | None) -> Adapter | None:
    """The adapter of its arrays, all of them checked.

    Raises:
        CorruptError: If one is missing or unknown, or they do not fit each other.
    """
    if encoder is None and not halves:
        return None
    if encoder is None or not halves:
        raise CorruptError(
            "an adapter has arrays and names its encoder, or neither.",
            where="parameters.json",
            advice=ADVICE,
        )
    sides: dict[str, dict[str, NDArray[np.float32]]] = {"down": {}, "up": {}}
    for name, array in halves.items():
        found = _HALF.fullmatch(name)
        if found is None:
            raise corrupt_array(name, "is no half of an adapter's layer.")
        check_arrays({name: array}, {name: Expected(np.float32, (None, None))})
        sides[found[2]][found[1]] = np.asarray(array, np.float32)
    try:
        return Adapter(encoder, sides["down"], sides["up"])
    except EncoderError as error:
        raise CorruptError(error.what, where="arrays.safetensors", advice=ADVICE) from error
