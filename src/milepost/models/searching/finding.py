"""What may answer a query: a collection of texts that is searched by words and by vectors."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from milepost.models.searching.dense import best, nearest
from milepost.models.searching.lexical import WordIndex

FOUND = 30
"""Texts that each way of searching finds for a query, before they are ranked."""

Encode = Callable[[Sequence[str]], NDArray[np.float32]]
"""Vectors of unit length of texts."""


class Collection:
    """Texts that may answer a query. Immutable, thread safe.

    Args:
        texts: Different texts, at least one.
        vectors: ``(n, d) float32`` of unit length; ``None`` where they are searched by words alone.
    """

    def __init__(self, texts: Sequence[str], vectors: NDArray[np.float32] | None = None) -> None:
        self.texts = tuple(texts)
        self.vectors = vectors
        self._words = WordIndex(self.texts)

    def __len__(self) -> int:
        return len(self.texts)

    def find(self, query: str, vector: NDArray[np.float32] | None, most: int = FOUND) -> list[int]:
        """Rows of the texts that may answer a query: by words, then by vectors, each best first.

        Args:
            query: The query.
            vector: ``(d,)`` of unit length; ``None`` searches by words alone.
            most: That each way finds, at least 1.
        """
        scores = self._words.scores(query)
        rows: list[int] = best(scores[None, :], most)[0].tolist()
        by_words = [row for row in rows if scores[row] > 0.0]
        by_meaning: list[int] = []
        if vector is not None and self.vectors is not None:
            by_meaning = nearest(vector[None, :], self.vectors, most)[0].tolist()
        return list(dict.fromkeys((*by_words, *by_meaning))) or rows
