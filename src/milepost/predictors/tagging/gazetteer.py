"""The predictor that knows strings: a span is where one of them stands."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.entities.spans import MOST_SPANS, OF_ANSWER, packed_row
from milepost.models.words import words_of
from milepost.predictors.base import Batch, Predictor
from milepost.predictors.parts import Expected, check_arrays, check_parameters, corrupt_array

Words = tuple[str, ...]


class _Parameters(msgspec.Struct, frozen=True):
    """JSON-able parameters."""

    strings: tuple[Words, ...]


def words_in(text: str) -> Words:
    """The words of a text."""
    return tuple(text[begin:end] for begin, end in words_of(text))


@dataclass(frozen=True, eq=False, kw_only=True)
class GazetteerPredictor(Predictor):
    """Answers every place where a known string stands; of two that overlap the longer one.

    Attributes:
        strings: The words of each string.
        columns: ``(m,) int64`` column of the label of each.
        odds: ``(m,) float64`` log odds that it is one where it stands.
    """

    kind: ClassVar[str] = "gazetteer"
    uses: ClassVar[Literal["text", "vectors"]] = "text"

    strings: tuple[Words, ...]
    columns: NDArray[np.int64]
    odds: NDArray[np.float64]
    _place: dict[Words, int] = field(init=False, repr=False)
    _longest: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Index the strings once."""
        place = {words: at for at, words in enumerate(self.strings)}
        object.__setattr__(self, "_place", place)
        object.__setattr__(self, "_longest", max(map(len, self.strings), default=0))

    def logits(self, batch: Batch) -> NDArray[np.float64]:
        """``(n, 4 M) float64``: spans with their log odds."""
        found = np.empty((len(batch), OF_ANSWER * MOST_SPANS))
        for row, text in enumerate(batch.texts):
            found[row] = packed_row(self._spans(text))
        return found

    def _spans(self, text: str) -> list[tuple[int, int, int, float]]:
        spans, words = words_of(text), words_in(text)
        found: list[tuple[int, int, int, float]] = []
        at = 0
        while at < len(words):
            size = next((size for size in range(min(self._longest, len(words) - at), 0, -1)
                         if words[at : at + size] in self._place), 0)  # fmt: skip
            if size:
                string = self._place[words[at : at + size]]
                sure = int(self.columns[string]), float(self.odds[string])
                found.append((spans[at][0], spans[at + size - 1][1], *sure))
            at += size or 1
        return found

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """``columns`` and ``odds``."""
        return {"columns": self.columns, "odds": self.odds}

    def parameters(self) -> dict[str, object]:
        """``strings``."""
        return {"strings": [list(words) for words in self.strings]}

    @classmethod
    def from_parts(
        cls,
        labels: tuple[str, ...],
        temperature: float,
        arrays: Mapping[str, NDArray[np.generic]],
        parameters: Mapping[str, object],
    ) -> Self:
        """See :meth:`Predictor.from_parts`."""
        strings = check_parameters(parameters, _Parameters).strings
        m = len(strings)
        check_arrays(
            arrays, {"columns": Expected(np.int64, (m,)), "odds": Expected(np.float64, (m,))}
        )
        columns = np.asarray(arrays["columns"], np.int64)
        if m and not (columns.min() >= 0 and columns.max() < len(labels)):
            raise corrupt_array("columns", "names a label that there is not.")
        return cls(
            labels=labels,
            temperature=temperature,
            link="spans",
            strings=strings,
            columns=columns,
            odds=np.asarray(arrays["odds"], np.float64),
        )
