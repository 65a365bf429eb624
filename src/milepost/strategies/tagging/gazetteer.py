"""The strings that examples mark: what finding spans has to beat."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from milepost.entities.kinds import Kind
from milepost.entities.spans import OF_TRUTH, unpacked
from milepost.predictors.tagging.gazetteer import GazetteerPredictor, Words, words_in
from milepost.strategies.tagging.taggers import no_spans
from milepost.strategy import Problem


@dataclass(frozen=True, slots=True)
class Gazetteer:
    """Each string that examples mark with a label mostly where it stands in them.

    Attributes:
        least: Share of the places of a string that are marked with its label, from which it is
            answered, in (0, 1].
        smoothing: Places that are added to either side of that share, > 0.
    """

    name: ClassVar[str] = "gazetteer"
    kinds: ClassVar[tuple[Kind, ...]] = ("extract",)

    least: float = 0.5
    smoothing: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.least <= 1 or self.smoothing <= 0:
            raise ValueError("least must be above 0 and at most 1, smoothing above 0")

    def supports(self, problem: Problem) -> str | None:
        """It needs a span."""
        return no_spans(problem)

    def fit(self, problem: Problem) -> GazetteerPredictor:
        """Count where each string stands, and what it is marked with."""
        marked: defaultdict[Words, Counter[int]] = defaultdict(Counter)
        for text, spans in zip(problem.texts, unpacked(problem.y, OF_TRUTH), strict=True):
            for begin, end, label in spans:
                if label < len(problem.labels) and (words := words_in(text[begin:end])):
                    marked[words][label] += 1
        problem.progress(0.3)
        places = _places(problem.texts, marked)
        problem.progress(0.9)
        kept: dict[Words, tuple[int, float]] = {}
        for words in sorted(marked):
            label, count = min(marked[words].items(), key=lambda each: (-each[1], each[0]))
            others = max(places[words] - count, 0)
            if count >= self.least * (count + others):
                odds = np.log((count + self.smoothing) / (others + self.smoothing))
                kept[words] = (label, float(odds))
        problem.progress(1.0)
        return GazetteerPredictor(
            labels=problem.labels,
            link="spans",
            strings=tuple(kept),
            columns=np.array([label for label, _ in kept.values()], np.int64),
            odds=np.array([odds for _, odds in kept.values()], np.float64),
        )


def _places(texts: tuple[str, ...], strings: "defaultdict[Words, Counter[int]]") -> Counter[Words]:
    """How often each string stands in the texts."""
    sizes = sorted({len(words) for words in strings})
    found: Counter[Words] = Counter()
    for text in texts:
        words = words_in(text)
        for size in sizes:
            found.update(
                words[at : at + size]
                for at in range(len(words) - size + 1)
                if words[at : at + size] in strings
            )
    return found
