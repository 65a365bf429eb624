"""The predictor that carries an encoder of its own: a small or tuned BERT and a linear head.

Knows neither how the encoder was trained nor on what.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import CorruptError, EncoderError
from milepost.models.folder import POOLINGS
from milepost.predictors.base import Batch, Predictor
from milepost.predictors.carried.encoder import OwnEncoder
from milepost.predictors.carried.tensors import HIGH, LOW, TENSOR, ranges_in, tensors_in
from milepost.predictors.parts import (
    ADVICE,
    Expected,
    check_arrays,
    check_parameters,
    corrupt_array,
)
from milepost.predictors.static import read_tokenizer


class _Parameters(msgspec.Struct, frozen=True):
    """JSON-able parameters, named as in ``OwnEncoder``."""

    config: dict[str, object]
    tokenizer: str
    pooling: str
    max_tokens: int


@dataclass(frozen=True, eq=False, kw_only=True)
class OwnEncoderPredictor(Predictor):
    """Logits that are linear in the vector of an encoder that only this predictor has.

    Attributes:
        encoder: The encoder.
        weights: ``(k, d) float32``.
        bias: ``(k,) float32``.
    """

    kind: ClassVar[str] = "own_encoder"
    uses: ClassVar[Literal["text", "vectors"]] = "text"

    encoder: OwnEncoder
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    def logits(self, batch: Batch) -> NDArray[np.float64]:
        """``encoder.vectors(texts) @ weights.T + bias``, ``(n, k) float64``."""
        if not len(batch):
            return np.zeros((0, len(self.labels)))
        vectors = self.encoder.vectors(batch.texts)
        return (vectors @ self.weights.T + self.bias).astype(np.float64)

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """``weights``, ``bias``, the encoder's tensors and, of one in integers, its ranges."""
        ranges = self.encoder.ranges or {}
        return {
            "weights": self.weights,
            "bias": self.bias,
            **{f"{TENSOR}{name}": array for name, array in self.encoder.tensors.items()},
            **{f"{LOW}{name}": each.low for name, each in ranges.items()},
            **{f"{HIGH}{name}": each.high for name, each in ranges.items()},
        }

    def parameters(self) -> dict[str, object]:
        """``config``, ``tokenizer``, ``pooling`` and ``max_tokens`` of the encoder."""
        return {
            "config": dict(self.encoder.config),
            "tokenizer": self.encoder.tokenizer,
            "pooling": self.encoder.pooling,
            "max_tokens": self.encoder.max_tokens,
        }

    @classmethod
    def from_parts(
        cls,
        labels: tuple[str, ...],
        temperature: float,
        arrays: Mapping[str, NDArray[np.generic]],
        parameters: Mapping[str, object],
    ) -> Self:
        """See :meth:`Predictor.from_parts`; the encoder's graph is built at once."""
        read = check_parameters(parameters, _Parameters)
        if read.max_tokens < 1 or read.pooling not in POOLINGS:
            raise _corrupt(f"pooling {read.pooling!r} over {read.max_tokens} tokens is no encoder.")
        read_tokenizer(read.tokenizer)
        k = len(labels)
        head = {"weights": Expected(np.float32, (k, None)), "bias": Expected(np.float32, (k,))}
        of_encoder = {name: array for name, array in arrays.items() if name not in head}
        check_arrays({n: a for n, a in arrays.items() if n in head}, head)
        encoder = OwnEncoder(
            config=read.config,
            tokenizer=read.tokenizer,
            pooling=read.pooling,
            max_tokens=read.max_tokens,
            tensors=tensors_in(of_encoder),
            ranges=ranges_in(of_encoder),
        )
        try:
            d = encoder.dimensions
        except (EncoderError, KeyError, ValueError, TypeError) as error:
            raise _corrupt(f"its encoder cannot be built ({error}).") from error
        if arrays["weights"].shape[1] != d:
            raise corrupt_array("weights", f"reads other vectors than the encoder's, of {d}.")
        _check_vocabulary(encoder)
        return cls(
            labels=labels,
            temperature=temperature,
            encoder=encoder,
            weights=np.asarray(arrays["weights"], np.float32),
            bias=np.asarray(arrays["bias"], np.float32),
        )


def _check_vocabulary(encoder: OwnEncoder) -> None:
    """Refuse a tokenizer with more tokens than the encoder has rows for."""
    rows = len(encoder.tensors["embeddings.word_embeddings.weight"])
    vocabulary = read_tokenizer(encoder.tokenizer).get_vocab(with_added_tokens=True)
    if rows <= max(vocabulary.values(), default=0):
        raise corrupt_array(
            f"{TENSOR}embeddings.word_embeddings.weight",
            "has fewer rows than the tokenizer has tokens.",
        )


def _corrupt(what: str) -> CorruptError:
    return CorruptError(what, where="parameters.json", advice=ADVICE)
