"""Bag of words and word pairs, weighted by TF-IDF, with a linear model: needs numpy alone.

Words, counts and weights are those of scikit-learn's ``TfidfVectorizer(ngram_range=(1, 2))``:
lower-cased runs of two or more word characters, smoothed idf, Euclidean norm.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import CorruptError
from milepost.predictors.base import Batch, Predictor
from milepost.predictors.parts import (
    ADVICE,
    Expected,
    check_arrays,
    check_parameters,
    corrupt_array,
)

CHUNK_TEXTS = 4096
"""Texts counted at once; bounds the memory of a large batch."""

_WORDS = re.compile(r"\b\w\w+\b")


class _Parameters(msgspec.Struct, frozen=True):
    """JSON-able parameters, named as in ``TfidfPredictor``."""

    vocabulary: tuple[str, ...]
    sublinear: bool


def terms_of(text: str) -> list[str]:
    """Words of two or more characters in lower case, then the pairs of neighbouring words."""
    words: list[str] = _WORDS.findall(text.lower())
    return words + [f"{first} {second}" for first, second in itertools.pairwise(words)]


@dataclass(frozen=True, slots=True, eq=False)
class SparseRows:
    """``n`` sparse rows over ``v`` columns (compressed rows, without scipy).

    Attributes:
        columns: Column of each entry, ascending within a row, ``(entries,) int64``.
        values: Value of each entry, ``(entries,) float64``.
        starts: Where each row begins; the last one is the number of entries, ``(n + 1,) int64``.
    """

    columns: NDArray[np.int64]
    values: NDArray[np.float64]
    starts: NDArray[np.int64]


def weigh(
    texts: Iterable[str],
    index: Mapping[str, int],
    idf: NDArray[np.float64],
    *,
    sublinear: bool,
) -> SparseRows:
    """TF-IDF rows of unit length; terms that are not in ``index`` are left out.

    Args:
        texts: The inputs.
        index: Column of each term.
        idf: ``(v,) float64``.
        sublinear: Take 1 + ln(count) instead of the count.
    """
    columns: list[int] = []
    counts: list[int] = []
    starts: list[int] = [0]
    for text in texts:
        counter = Counter(
            column for term in terms_of(text) if (column := index.get(term)) is not None
        )
        row = sorted(counter)
        columns.extend(row)
        counts.extend(counter[column] for column in row)
        starts.append(len(columns))
    where = np.array(columns, np.int64)
    bounds = np.array(starts, np.int64)
    values = np.array(counts, np.float64)
    if sublinear:
        values = np.log(values) + 1
    values *= idf[where]
    lengths = np.diff(bounds)
    filled = lengths > 0
    squares = np.add.reduceat(values**2, bounds[:-1][filled]) if filled.any() else np.zeros(0)
    values /= np.repeat(np.sqrt(squares), lengths[filled])
    return SparseRows(where, values, bounds)


@dataclass(frozen=True, eq=False, kw_only=True)
class TfidfPredictor(Predictor):
    """Logits that are linear in the TF-IDF weights of words and word pairs.

    Attributes:
        vocabulary: The ``v`` terms, each one once, in the order of the columns.
        idf: ``(v,) float64`` inverse document frequencies.
        weights: ``(v, k) float32``; a text touches few rows, so that rows lie together.
        bias: ``(k,) float32``.
        sublinear: Whether a count weighs 1 + ln(count) instead of itself.
    """

    kind: ClassVar[str] = "tfidf"
    uses: ClassVar[Literal["text", "vectors"]] = "text"

    vocabulary: tuple[str, ...]
    idf: NDArray[np.float64]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    sublinear: bool = True
    _index: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Index the vocabulary once."""
        index = {term: column for column, term in enumerate(self.vocabulary)}
        object.__setattr__(self, "_index", index)

    def logits(self, batch: Batch) -> NDArray[np.float64]:
        """``(n, k) float64``; a text without a known term gets the bias."""
        result = np.tile(self.bias.astype(np.float64), (len(batch), 1))
        for start in range(0, len(batch), CHUNK_TEXTS):
            texts = batch.texts[start : start + CHUNK_TEXTS]
            rows = weigh(texts, self._index, self.idf, sublinear=self.sublinear)
            values = rows.values.astype(np.float32)
            bounds = rows.starts.tolist()
            for i, (first, last) in enumerate(itertools.pairwise(bounds), start):
                result[i] += values[first:last] @ self.weights[rows.columns[first:last]]
        return result

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """``idf``, ``weights`` and ``bias``."""
        return {"idf": self.idf, "weights": self.weights, "bias": self.bias}

    def parameters(self) -> dict[str, object]:
        """``vocabulary`` and ``sublinear``."""
        return {"vocabulary": list(self.vocabulary), "sublinear": self.sublinear}

    @classmethod
    def from_parts(
        cls,
        labels: tuple[str, ...],
        temperature: float,
        arrays: Mapping[str, NDArray[np.generic]],
        parameters: Mapping[str, object],
    ) -> Self:
        """See :meth:`Predictor.from_parts`."""
        read = check_parameters(parameters, _Parameters)
        v, k = len(read.vocabulary), len(labels)
        if len(set(read.vocabulary)) != v:
            raise CorruptError(
                "the vocabulary names a term twice.", where="parameters.json", advice=ADVICE
            )
        check_arrays(
            arrays,
            {
                "idf": Expected(np.float64, (v,)),
                "weights": Expected(np.float32, (v, k)),
                "bias": Expected(np.float32, (k,)),
            },
        )
        idf = np.asarray(arrays["idf"], np.float64)
        if not (idf > 0).all():
            raise corrupt_array("idf", "holds a weight that is not positive.")
        return cls(
            labels=labels,
            temperature=temperature,
            vocabulary=read.vocabulary,
            idf=idf,
            weights=np.asarray(arrays["weights"], np.float32),
            bias=np.asarray(arrays["bias"], np.float32),
            sublinear=read.sublinear,
        )
