"""Predictors that say how relevant a candidate is to a query: by words, or by words and vectors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.entities.inputs import sides
from milepost.models.searching.lexical import Words
from milepost.predictors.base import Batch, Predictor
from milepost.predictors.parts import Expected, check_arrays, check_parameters

BY_WORDS = 2
"""Numbers that words give: BM25, and that as a share of the most it can be."""


class _Parameters(msgspec.Struct, frozen=True):
    """The words of a collection as a bundle keeps them; their weights are an array."""

    terms: tuple[str, ...]
    unseen: float
    length: float


@dataclass(frozen=True, eq=False, kw_only=True)
class WordRanker(Predictor):
    """Odds of relevance that grow with BM25.

    Attributes:
        words: How rare words are among candidates.
        by_words: ``(2,) float64`` weights of BM25 and of its share of the most.
        bias: Odds where no word is shared.
    """

    kind: ClassVar[str] = "word_ranker"
    uses: ClassVar[Literal["text", "vectors"]] = "text"

    words: Words
    by_words: NDArray[np.float64]
    bias: float

    def logits(self, batch: Batch) -> NDArray[np.float64]:
        """Log odds that each candidate is relevant to its query, ``(n, 1) float64``."""
        found = self.words.pairs([sides(text) for text in batch.texts])
        return (found @ self.by_words + self.bias)[:, None]

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """``by_words``, ``bias``, and ``rarity`` of each of the parameters' words."""
        return {
            "by_words": self.by_words,
            "bias": np.array([self.bias], np.float64),
            "rarity": np.array(list(self.words.weights.values()), np.float32),
        }

    def parameters(self) -> dict[str, object]:
        """The words, and what is known of the collection."""
        return {
            "terms": list(self.words.weights),
            "unseen": self.words.unseen,
            "length": self.words.length,
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
        return cls(
            labels=labels,
            temperature=temperature,
            words=_words(arrays, parameters, {}),
            by_words=np.asarray(arrays["by_words"], np.float64),
            bias=float(np.asarray(arrays["bias"], np.float64)[0]),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Ranker(WordRanker):
    """Odds of relevance that are linear in the vector of a pair and in BM25.

    Attributes:
        weights: ``(d,) float32`` of the vector of a pair.
    """

    kind: ClassVar[str] = "ranker"
    uses: ClassVar[Literal["text", "vectors"]] = "vectors"

    weights: NDArray[np.float32]

    def logits(self, batch: Batch) -> NDArray[np.float64]:
        """Log odds that each candidate is relevant to its query, ``(n, 1) float64``."""
        vectors = batch.require_vectors(len(self.weights))
        # A row by itself: a product of a matrix rounds otherwise in other company.
        by_vector = (vectors * self.weights).sum(axis=1, dtype=np.float64)
        return super().logits(batch) + by_vector[:, None]

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """``weights``, and those of :class:`WordRanker`."""
        return {**super().arrays(), "weights": self.weights}

    @classmethod
    def from_parts(
        cls,
        labels: tuple[str, ...],
        temperature: float,
        arrays: Mapping[str, NDArray[np.generic]],
        parameters: Mapping[str, object],
    ) -> Self:
        """See :meth:`Predictor.from_parts`."""
        words = _words(arrays, parameters, {"weights": Expected(np.float32, (None,))})
        return cls(
            labels=labels,
            temperature=temperature,
            words=words,
            by_words=np.asarray(arrays["by_words"], np.float64),
            bias=float(np.asarray(arrays["bias"], np.float64)[0]),
            weights=np.asarray(arrays["weights"], np.float32),
        )


def _words(
    arrays: Mapping[str, NDArray[np.generic]],
    parameters: Mapping[str, object],
    more: Mapping[str, Expected],
) -> Words:
    """The words of parts that were checked.

    Raises:
        CorruptError: If a part is missing, unknown, of another type or shape, or not finite.
    """
    found = check_parameters(parameters, _Parameters)
    check_arrays(
        arrays,
        {
            "by_words": Expected(np.float64, (BY_WORDS,)),
            "bias": Expected(np.float64, (1,)),
            "rarity": Expected(np.float32, (len(found.terms),)),
            **more,
        },
    )
    rarity = [float(each) for each in np.asarray(arrays["rarity"], np.float32)]
    return Words(dict(zip(found.terms, rarity, strict=True)), found.unseen, found.length)
