"""The one shape of a predictor: logits from a batch, one temperature, named arrays."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from milepost.entities.kinds import Link, width_of
from milepost.entities.prediction import ANSWERS, LabelSets, Predictions, linked
from milepost.models.adapters import Adapter
from milepost.models.words import WordSpace
from milepost.predictors.asking import Asking, drive, nobody

Spaces = tuple[Adapter | WordSpace | None, ...]
"""Vector spaces, each that of the encoder with an adapter; ``None`` for the encoder alone.

``WORDS`` stands for the states of words, which are read alone: a matrix of each text."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Inputs of ``n`` predictions.

    Attributes:
        texts: The inputs.
        vectors: ``(n, d) float32`` encoder vectors of the texts, side by side where the predictor
            reads several spaces; ``None`` where no encoder ran. States of words are objects
            ``(n,)``, each ``(words, d) float32``.
    """

    texts: tuple[str, ...]
    vectors: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def require_vectors(self, dimensions: int) -> NDArray[np.float32]:
        """The vectors, ``(n, dimensions) float32``.

        Raises:
            ValueError: If there are none, their shape is another one, or one is not finite.
        """
        if self.vectors is None:
            raise ValueError("This predictor reads encoder vectors, and the batch has none.")
        expected = (len(self.texts), dimensions)
        if self.vectors.shape != expected:
            raise ValueError(
                f"The batch's vectors have shape {self.vectors.shape}; expected {expected}."
            )
        if not np.isfinite(self.vectors).all():
            raise ValueError("The batch's vectors hold a value that is not finite.")
        return np.asarray(self.vectors, dtype=np.float32)


@dataclass(frozen=True, eq=False, kw_only=True)
class Predictor(ABC):
    """Answers batches. Immutable and thread safe.

    Attributes:
        labels: Label names in the order of the columns.
        temperature: Logits are divided by it before they are linked (Guo et al. 2017).
        link: From the logits to an answer.
        thresholds: Probability from which each label is answered, of one that answers any number;
            none where that is one half for all.
    """

    kind: ClassVar[str]
    uses: ClassVar[Literal["text", "vectors"]]

    labels: tuple[str, ...]
    temperature: float = 1.0
    link: Link = "softmax"
    thresholds: tuple[float, ...] = ()

    @property
    def spaces(self) -> Spaces:
        """Whose vectors it reads, side by side in each row of a batch; none where it reads text."""
        return (None,) if self.uses == "vectors" else ()

    @property
    def width(self) -> int:
        """Numbers of one answer, as ``logits`` gives them."""
        return width_of(self.link, len(self.labels))

    @property
    def upstreams(self) -> tuple[str, ...]:
        """Names of the language models that it asks; none for most predictors."""
        return ()

    @abstractmethod
    def logits(self, batch: Batch) -> NDArray[np.float64]:
        """Unnormalised log-probabilities ``(n, k) float64`` before the temperature.

        A row depends on its own input alone, whatever else is in the batch (up to rounding).

        Raises:
            ValueError: If the predictor reads vectors and the batch has none that fit.
        """

    @abstractmethod
    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """Learned arrays by name; all that a bundle stores besides ``parameters``."""

    def parameters(self) -> dict[str, object]:
        """JSON-able learned state that is not an array, such as a vocabulary."""
        return {}

    @classmethod
    @abstractmethod
    def from_parts(
        cls,
        labels: tuple[str, ...],
        temperature: float,
        arrays: Mapping[str, NDArray[np.generic]],
        parameters: Mapping[str, object],
    ) -> Self:
        """The inverse of ``arrays`` and ``parameters``.

        Raises:
            CorruptError: If a part is missing, unknown, of another type or shape, or not finite.
        """

    def scoring(self, batch: Batch) -> Asking[NDArray[np.float64]]:
        """``logits`` of predictors that may ask language models on the way.

        A row whose logits are all equal decides nothing: it is withheld, and counts as wrong.
        """
        return self.logits(batch)
        yield  # what makes it a generator

    def answering(self, batch: Batch) -> Asking[Predictions]:
        """``predict`` of predictors that may ask language models on the way."""
        logits = yield from self.scoring(batch)
        return self.meaning(linked(self.link, logits, self.temperature))

    def meaning(self, given: NDArray[np.float32]) -> Predictions:
        """What linked numbers ``(n, k)`` of this predictor answer."""
        found = ANSWERS[self.link](self.labels, given)
        if isinstance(found, LabelSets) and self.thresholds:
            return replace(found, thresholds=np.array(self.thresholds, np.float32))
        return found

    def predict(self, batch: Batch) -> Predictions:
        """Calibrated probabilities of a batch; an empty batch gives an empty answer.

        Raises:
            ValueError: If the predictor asks language models; drive ``answering`` then.
        """
        return drive(self.answering(batch), nobody)

    def calibrated(self, temperature: float) -> Self:
        """The same predictor with another temperature.

        Raises:
            ValueError: If ``temperature`` is not a finite number above 0.
        """
        if not (math.isfinite(temperature) and temperature > 0):
            raise ValueError(f"A temperature is a finite number above 0, not {temperature}.")
        return replace(self, temperature=temperature)


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float32]:
    """Row-wise softmax ``(n, k) -> (n, k) float32``, stable for large logits."""
    return linked("softmax", logits)
