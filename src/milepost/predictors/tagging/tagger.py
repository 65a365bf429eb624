"""The predictors of taggers: linear in what is seen of each word, joined by a chain of tags."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import CorruptError
from milepost.entities.spans import MOST_SPANS, OF_ANSWER, packed_row
from milepost.models.words import WORDS
from milepost.predictors.base import Batch, Predictor, Spaces
from milepost.predictors.parts import (
    ADVICE,
    Expected,
    check_arrays,
    check_parameters,
    corrupt_array,
)
from milepost.predictors.tagging.chain import NEVER, Chain, allowed, apart, tags_of
from milepost.predictors.tagging.features import VERSION, seen

_SURE = 1e-6


class _Parameters(msgspec.Struct, frozen=True):
    """JSON-able parameters."""

    least: float
    features: int


@dataclass(frozen=True, eq=False, kw_only=True)
class WordTagger(Predictor):
    """Spans by a conditional random field on the words of a text.

    A span is answered where it is at least as likely as ``least`` and no likelier one overlaps it.

    Attributes:
        hashes: ``(r,) uint32`` hashed names of the features that weigh something, ascending.
        weights: ``(r, tags) float32``.
        follows: ``(tags, tags) float32`` score of one tag (column) after another (row).
        least: Smallest probability of a span that is answered, in (0, 1).
    """

    kind: ClassVar[str] = "word_tagger"
    uses: ClassVar[Literal["text", "vectors"]] = "text"

    hashes: NDArray[np.uint32]
    weights: NDArray[np.float32]
    follows: NDArray[np.float32]
    least: float = 0.3

    def logits(self, batch: Batch) -> NDArray[np.float64]:
        """``(n, 4 M) float64``: spans with their log odds."""
        found = np.empty((len(batch), OF_ANSWER * MOST_SPANS))
        for row, text in enumerate(batch.texts):
            words, features = seen(text)
            found[row] = packed_row(self._spans(words, self._emissions(batch, row, features)))
        return found

    def _emissions(
        self, batch: Batch, row: int, features: list[NDArray[np.uint32]]
    ) -> NDArray[np.float64]:
        """``(words, tags)`` score of each tag of each word of a text."""
        del batch, row
        if not features:
            return np.zeros((0, tags_of(len(self.labels))))
        every = np.concatenate(features)
        at = np.searchsorted(self.hashes, every)
        at[at == len(self.hashes)] = 0
        known = self.hashes[at] == every if len(self.hashes) else np.zeros(len(every), np.bool_)
        scores = np.where(known[:, None], self.weights[at], 0.0) if len(self.hashes) else 0.0
        starts = np.cumsum([0, *(len(each) for each in features[:-1])])
        scores = np.broadcast_to(scores, (len(every), tags_of(len(self.labels))))
        return np.add.reduceat(scores.astype(np.float64), starts, axis=0)

    def _spans(
        self, words: list[tuple[int, int]], emissions: NDArray[np.float64]
    ) -> list[tuple[int, int, int, float]]:
        """Spans in characters with their log odds."""
        if not words:
            return []
        chain = Chain(emissions, self.follows.astype(np.float64))
        found: list[tuple[int, int, int, float]] = []
        for first, end, label, likely in apart(chain.spans(self.least)):
            sure = min(max(likely, _SURE), 1.0 - _SURE)
            odds = float(np.log(sure / (1.0 - sure)))
            found.append((words[first][0], words[end - 1][1], label, odds))
        return found

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """``hashes``, ``weights`` and ``follows``."""
        return {"hashes": self.hashes, "weights": self.weights, "follows": self.follows}

    def parameters(self) -> dict[str, object]:
        """``least``, and the version of the features."""
        return {"least": self.least, "features": VERSION}

    @classmethod
    def from_parts(
        cls,
        labels: tuple[str, ...],
        temperature: float,
        arrays: Mapping[str, NDArray[np.generic]],
        parameters: Mapping[str, object],
    ) -> Self:
        """See :meth:`Predictor.from_parts`."""
        tags = tags_of(len(labels))
        check_arrays(
            arrays,
            {
                "hashes": Expected(np.uint32, (None,)),
                "weights": Expected(np.float32, (len(arrays.get("hashes", ())), tags)),
                "follows": Expected(np.float32, (tags, tags)),
                **cls._more(tags),
            },
        )
        least = _checked(parameters)
        hashes = np.asarray(arrays["hashes"], np.uint32)
        if (hashes[1:] <= hashes[:-1]).any():
            raise corrupt_array("hashes", "is not ascending.")
        follows = np.asarray(arrays["follows"], np.float32)
        if ((follows > NEVER / 2) & ~allowed(len(labels))).any():
            raise corrupt_array("follows", "lets a span go on that did not begin.")
        own: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items()}
        return cls(labels=labels, temperature=temperature, link="spans", least=least, **own)

    @classmethod
    def _more(cls, tags: int) -> dict[str, Expected]:
        """Further arrays of the kind."""
        del tags
        return {}


@dataclass(frozen=True, eq=False, kw_only=True)
class StateTagger(WordTagger):
    """As ``WordTagger``, on the encoder's states of the words besides what is seen of them.

    Attributes:
        states: ``(d, tags) float32`` weights of a word's state.
        bias: ``(tags,) float32``.
    """

    kind: ClassVar[str] = "state_tagger"
    uses: ClassVar[Literal["text", "vectors"]] = "vectors"

    states: NDArray[np.float32]
    bias: NDArray[np.float32]

    @property
    def spaces(self) -> Spaces:
        """The states of words."""
        return (WORDS,)

    def logits(self, batch: Batch) -> NDArray[np.float64]:
        """``(n, 4 M) float64``: spans with their log odds.

        Raises:
            ValueError: If the batch has no states, or some that do not fit.
        """
        if batch.vectors is None or batch.vectors.dtype != np.object_:
            raise ValueError("This predictor reads states of words, and the batch has none.")
        return super().logits(batch)

    def _emissions(
        self, batch: Batch, row: int, features: list[NDArray[np.uint32]]
    ) -> NDArray[np.float64]:
        given: NDArray[np.float32] = batch.vectors[row]  # pyright: ignore[reportOptionalSubscript]
        if given.shape != (len(features), len(self.states)) or not np.isfinite(given).all():
            raise ValueError(
                f"The states have shape {given.shape}; expected {(len(features), len(self.states))}"
                " finite numbers."
            )
        seen = super()._emissions(batch, row, features)
        return seen + (given @ self.states + self.bias).astype(np.float64)

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """``states`` and ``bias`` besides."""
        return {**super().arrays(), "states": self.states, "bias": self.bias}

    @classmethod
    def _more(cls, tags: int) -> dict[str, Expected]:
        return {
            "states": Expected(np.float32, (None, tags)),
            "bias": Expected(np.float32, (tags,)),
        }


def _checked(parameters: Mapping[str, object]) -> float:
    read = check_parameters(parameters, _Parameters)
    if not 0.0 < read.least < 1.0:
        raise CorruptError(
            f"least is {read.least}, not between 0 and 1.", where="parameters.json", advice=ADVICE
        )
    if read.features != VERSION:
        raise CorruptError(
            f"it reads features of version {read.features}, and this is {VERSION}.",
            where="parameters.json",
            advice="Run `milepost improve` again, or use the milepost that made it.",
        )
    return read.least
