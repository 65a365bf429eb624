"""How well the words of a text answer those of a query: BM25, of pairs and of a whole collection.

Knows words and how rare they are; knows nothing of meaning.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SATURATION = 1.2
"""How fast a further occurrence of a word counts less (k1)."""

BY_LENGTH = 0.75
"""How much a long text must say more to count as much (b), from 0 to 1."""

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
)
_TERM = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}_]+")
_PLURAL = 4


def terms(text: str) -> list[str]:
    """Words of a text in lower case, without the s of an English plural (Harman 1991).

    In scripts without spaces each character is one.
    """
    return [
        word[:-1] if len(word) >= _PLURAL and word[-1] == "s" and word[-2] not in "su" else word
        for word in _TERM.findall(text.lower())
    ]


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """How rare each word is in a collection, and how long its texts are.

    Attributes:
        weights: Of each word (Robertson & Zaragoza 2009, equation 3.3, kept above 0 by one more).
        unseen: Of a word that no text has.
        length: Mean number of words of a text, > 0.
    """

    weights: Mapping[str, float]
    unseen: float
    length: float

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Words":
        """Those of a collection; each text counts once, however often it is in it."""
        found = [terms(text) for text in dict.fromkeys(texts)]
        counts = Counter(term for each in found for term in set(each))
        n = len(found)
        names = sorted(counts)
        having = np.array([counts[name] for name in names], np.float64)
        # In single precision, as a bundle keeps them.
        rarity = np.log1p((n - having + 0.5) / (having + 0.5)).astype(np.float32)
        return cls(
            weights=dict(zip(names, map(float, rarity), strict=True)),
            unseen=float(np.log1p((n + 0.5) / 0.5)),
            length=max(sum(map(len, found)) / n, 1.0) if n else 1.0,
        )

    def pair(self, query: Sequence[str], words: Mapping[str, int], size: int) -> float:
        """How well a text answers a query (BM25).

        Args:
            query: Different words of the query.
            words: How often each word stands in the text.
            size: How many words that are.
        """
        damped = SATURATION * (1.0 - BY_LENGTH + BY_LENGTH * size / self.length)
        return sum(
            self.weights.get(term, self.unseen) * count * (SATURATION + 1.0) / (count + damped)
            for term in query
            if (count := words.get(term, 0))
        )

    def most(self, query: Sequence[str]) -> float:
        """What no text can exceed for a query."""
        return sum(self.weights.get(term, self.unseen) for term in query) * (SATURATION + 1.0)

    def pairs(self, both: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """BM25 of each query and text, and that as a share of the most: ``(n, 2)``."""
        texts = {text: Counter(terms(text)) for _, text in both}
        asked = {query: sorted(set(terms(query))) for query, _ in both}
        most = {query: max(self.most(found), 1e-9) for query, found in asked.items()}
        sizes = {text: words.total() for text, words in texts.items()}
        found = [self.pair(asked[query], texts[text], sizes[text]) for query, text in both]
        shares = [each / most[query] for each, (query, _) in zip(found, both, strict=True)]
        return np.array([found, shares], np.float64).T.reshape(-1, 2)


class WordIndex:
    """Which texts of a collection answer a query best by their words. Immutable, thread safe.

    Args:
        texts: The collection, ``n`` texts.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.words = Words.of(texts)
        counted = [Counter(terms(text)) for text in texts]
        sizes = np.array([each.total() for each in counted], np.float64)
        damped = SATURATION * (1.0 - BY_LENGTH + BY_LENGTH * sizes / self.words.length)
        postings: dict[str, tuple[list[int], list[int]]] = {}
        for at, each in enumerate(counted):
            for term, count in each.items():
                rows, counts = postings.setdefault(term, ([], []))
                rows.append(at)
                counts.append(count)
        self._size = len(texts)
        self._postings: dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
        for term, (rows, counts) in postings.items():
            at, often = np.array(rows, np.int64), np.array(counts, np.float64)
            worth = often * (SATURATION + 1.0) / (often + damped[at])
            self._postings[term] = at, self.words.weights[term] * worth

    def scores(self, query: str) -> NDArray[np.float64]:
        """BM25 of each text, ``(n,)``; 0 where no word is shared."""
        found = np.zeros(self._size)
        for term in sorted(set(terms(query))):
            if term in self._postings:
                rows, worth = self._postings[term]
                found[rows] += worth
        return found
