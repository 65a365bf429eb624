"""Scores so far from the others that a slip is likelier than a truth, such as 45 for 4.5.

What is squared while it is learned gives one such score the weight of all others together.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from milepost.data.wording import SHOWN, number_of, quote, verb
from milepost.entities.example import Examples, Finding

FENCE = 3.0
"""Interquartile ranges around the quartiles within which a score is usual; what lies beyond is "far
out" (Tukey 1977, Exploratory Data Analysis)."""

FAR = 3.0
"""Times the width of the usual scores that an outlying one lies beyond them: prices and counts
have long tails, of which none is meant."""

FEWEST = 20
"""Scores without which nobody knows which are usual."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Where the scores of a task's own examples lie.

    Attributes:
        low: The smallest that is usual.
        high: The largest that is usual.
        least: The smallest of all.
        most: The largest of all.
    """

    low: float
    high: float
    least: float
    most: float

    def outlying(self, score: float) -> bool:
        """Whether a score lies far beyond the usual ones."""
        # Halves, so that no difference of two numbers overflows.
        beyond = max(self.low / 2 - score / 2, score / 2 - self.high / 2)
        return beyond > FAR * (self.high / 2 - self.low / 2)

    def strange(self, score: float) -> bool:
        """Whether it does, and beyond all that the examples have too."""
        return self.outlying(score) and not self.least <= score <= self.most

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


def spread_of(scores: Iterable[float]) -> Spread | None:
    """Where scores lie; ``None`` of fewer than ``FEWEST``, or where all are alike."""
    given = np.fromiter(scores, np.float64)
    if len(given) < FEWEST or given.min() == given.max():
        return None
    scale = float(np.abs(given).max())
    first, third = np.quantile(given / scale, (0.25, 0.75))
    if first == third:  # half of them are the same number
        first, third = np.quantile(np.unique(given) / scale, (0.25, 0.75))
    reach = FENCE * (third - first)
    usual = given[(given / scale >= first - reach) & (given / scale <= third + reach)]
    return Spread(*(float(each) for each in (usual.min(), usual.max(), given.min(), given.max())))


def written_spread(labels: Iterable[str | None]) -> Spread | None:
    """The same of scores as the truths of examples, ``None`` for one without."""
    return spread_of(float(each) for each in labels if each is not None)


def about_scores(examples: Examples) -> Sequence[Finding]:
    """The finding that scores are outlying, worst first; none where there are none."""
    spread = written_spread(examples.labels)
    if spread is None:
        return ()
    scores = {row: float(said) for row, said in enumerate(examples.labels) if said is not None}
    rows = [row for row, score in scores.items() if spread.outlying(score)]
    rows.sort(key=lambda row: -max(spread.low - scores[row], scores[row] - spread.high))
    n = len(rows)
    if not n:
        return ()
    told = Finding(
        check="outlying_scores",
        severity="warning",
        count=n,
        summary=f"{number_of(n, 'score')} {verb(n, 'lies', 'lie')} far from all others, which are "
        f"{spread}; one such row can outweigh all others in what is learned. Check that "
        f"{verb(n, 'it is', 'they are')} no slip.",
        examples=tuple(
            f"{examples.sources[row]}: {scores[row]:g}, {quote(examples.texts[row])}"
            for row in rows[:SHOWN]
        ),
    )
    return (told,)
