"""What a predictor answers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import InputError
from milepost.entities.kinds import Link
from milepost.entities.spans import NONE, OF_ANSWER, FoundSpan, Span, begins, unpacked

Answer = str | tuple[str, ...] | float | tuple[Span, ...]
"""A label, labels, a score, or spans."""

HOLDS = 0.5
"""Probability from which a label of several is answered."""

NO_ANSWER = "(no answer)"
"""Name under which answers that decide nothing appear among labels."""


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Answers to a batch of ``n`` inputs over ``k`` labels.

    Attributes:
        labels: The ``k`` label names, in the order of the columns.
        probabilities: ``(n, k) float32``, calibrated; rows sum to 1.
        abstain_below: Confidence below which no label is given; ``None`` where every input is
            answered.
        rungs: Which rung of a cascade answered each input, ``(n,) int64`` into ``rung_names``;
            ``None`` where there is no cascade.
        rung_names: Names of the rungs, cheapest first.
        set_thresholds: By what sets of labels promise: largest doubt, 1 minus the probability, of
            a label that is in the set; empty where no set was examined.
    """

    column: ClassVar[str] = "label"
    """What an answer is called in a table."""

    labels: tuple[str, ...]
    probabilities: NDArray[np.float32]
    abstain_below: float | None = None
    set_thresholds: Mapping[str, float] = field(default_factory=dict[str, float])
    rungs: NDArray[np.int64] | None = None
    rung_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def label_ids(self) -> NDArray[np.int64]:
        """Column of the most probable label, ``(n,) int64``; the first one on ties.

        Also of a row that decides nothing; ``answers`` and ``abstained`` tell those apart.
        """
        return np.argmax(self.probabilities, axis=1)

    @property
    def abstained(self) -> NDArray[np.bool_]:
        """Whether the answer is withheld, ``(n,)``: nothing is decided, or not surely enough."""
        nothing = undecided(self.probabilities)
        if self.abstain_below is None:
            return nothing
        return nothing | (self.confidence.astype(np.float64) < self.abstain_below)

    @property
    def judged(self) -> NDArray[np.float32]:
        """What measures read, ``(n, k) float32``: the probabilities."""
        return self.probabilities

    @property
    def answered_by(self) -> tuple[str, ...]:
        """Name of the rung that answered each input; empty where there is no cascade."""
        if self.rungs is None:
            return ()
        return tuple(self.rung_names[at] for at in self.rungs.tolist())

    @property
    def answers(self) -> "tuple[Answer | None, ...]":
        """Most probable label of each input; ``None`` where the answer is withheld."""
        return tuple(
            None if withheld else self.labels[i]
            for i, withheld in zip(self.label_ids, self.abstained, strict=True)
        )

    def sets(self, coverage: float) -> tuple[tuple[str, ...], ...]:
        """For each input the labels that it may have, most probable first; never none.

        The sets hold the right label at least as often as ``coverage`` says, with 95 % confidence,
        for inputs like those that the thresholds were set on; of an answer that is withheld too.

        Args:
            coverage: One of the promises that were examined, such as 0.9.

        Raises:
            InputError: If it is none of them.
        """
        limit = set_threshold(self.set_thresholds, coverage)
        doubt = 1.0 - self.probabilities.astype(np.float64)
        order = np.argsort(doubt, axis=1, kind="stable")
        return tuple(
            tuple(self.labels[i] for at, i in enumerate(row) if at == 0 or mine[i] <= limit)
            for row, mine in zip(order.tolist(), doubt, strict=True)
        )

    @property
    def confidence(self) -> NDArray[np.float32]:
        """Probability of the most probable label, ``(n,) float32``; NaN where none is stated.

        None is stated of a score, of a relevance, and where no span was found.
        """
        if not len(self.probabilities):
            return np.zeros(0, np.float32)
        return self.probabilities.max(axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class LabelSets(Predictions):
    """Answers with any number of labels: ``probabilities`` are those of each label by itself.

    Attributes:
        thresholds: ``(k,)``, or ``(n, k)`` where they differ by row: probability from which each
            label is answered, in (0, 1); ``None`` where that is ``HOLDS`` for all.
    """

    column: ClassVar[str] = "labels"

    thresholds: NDArray[np.float32] | None = None

    @property
    def label_ids(self) -> NDArray[np.int64]:
        """Column of the most probable label, ``(n,) int64``, whether it is answered or not."""
        return np.argmax(self.probabilities, axis=1)

    @property
    def held(self) -> NDArray[np.bool_]:
        """Which labels are answered, ``(n, k)``: those that reach their threshold."""
        return self.probabilities >= (HOLDS if self.thresholds is None else self.thresholds)

    @property
    def judged(self) -> NDArray[np.float32]:
        """The probabilities with ``HOLDS`` where the threshold is, ``(n, k) float32``."""
        if self.thresholds is None:
            return self.probabilities
        return recentred(self.probabilities, self.thresholds)

    @property
    def confidence(self) -> NDArray[np.float32]:
        """Probability that every label of the answer is right if they are independent, ``(n,)``."""
        return np.where(self.held, self.probabilities, 1.0 - self.probabilities).prod(axis=1)

    @property
    def abstained(self) -> NDArray[np.bool_]:
        """Whether the answer is withheld, ``(n,)``."""
        if self.abstain_below is None:
            return np.zeros(len(self), np.bool_)
        return self.confidence.astype(np.float64) < self.abstain_below

    @property
    def answers(self) -> tuple[tuple[str, ...] | None, ...]:
        """Labels of each input in the task's order; ``None`` where the answer is withheld."""
        return tuple(
            None if withheld else tuple(self.labels[i] for i in np.flatnonzero(row).tolist())
            for row, withheld in zip(self.held, self.abstained, strict=True)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Scores(Predictions):
    """Numbers: ``probabilities`` is ``(n, 1)`` and holds them, whatever their range."""

    column: ClassVar[str] = "score"

    @property
    def values(self) -> NDArray[np.float64]:
        """The scores, ``(n,)``."""
        return self.probabilities[:, 0].astype(np.float64)

    @property
    def label_ids(self) -> NDArray[np.int64]:
        """Zeros ``(n,) int64``: there is one column."""
        return np.zeros(len(self), np.int64)

    @property
    def confidence(self) -> NDArray[np.float32]:
        """NaN, ``(n,) float32``: a score states no confidence."""
        return np.full(len(self), np.nan, np.float32)

    @property
    def abstained(self) -> NDArray[np.bool_]:
        """None is withheld, ``(n,)``."""
        return np.zeros(len(self), np.bool_)

    @property
    def answers(self) -> tuple[float | None, ...]:
        """The score of each input."""
        return tuple(float(value) for value in self.probabilities[:, 0])


@dataclass(frozen=True, slots=True, eq=False)
class Spans(Predictions):
    """Spans: ``probabilities`` is ``(n, 4 M)``, as ``milepost.entities.spans`` packs them."""

    column: ClassVar[str] = "spans"

    @property
    def found(self) -> tuple[tuple[tuple[Span, float], ...], ...]:
        """Spans of each input in the order of its text, each with its probability.

        What an older release found of a label that is gone is left out.
        """
        k = len(self.labels)
        return tuple(
            tuple(
                ((int(begin), int(end), self.labels[int(at)]), float(likely))
                for begin, end, at, likely in row
                if at < k
            )
            for row in unpacked(self.probabilities, OF_ANSWER)
        )

    def in_texts(self, texts: Sequence[str]) -> tuple[tuple[FoundSpan, ...], ...]:
        """The same with what stands there, for people and for JSON."""
        return tuple(
            tuple(
                FoundSpan(
                    start=begin,
                    end=end,
                    label=label,
                    probability=round(likely, 6),
                    text=text[begin:end],
                )
                for (begin, end, label), likely in row
            )
            for text, row in zip(texts, self.found, strict=True)
        )

    @property
    def label_ids(self) -> NDArray[np.int64]:
        """Column of the first span's label, ``(n,) int64``; -1 where there is none."""
        return self.probabilities[:, 2].astype(np.int64)

    @property
    def confidence(self) -> NDArray[np.float32]:
        """Probability of the span that is least sure, ``(n,) float32``; NaN where there is none.

        How surely a text holds no span nobody says: what is not found has no probability.
        """
        held = begins(self.probabilities, OF_ANSWER)
        least = np.where(held, self.probabilities[:, OF_ANSWER - 1 :: OF_ANSWER], 1.0).min(axis=1)
        return np.where(held.any(axis=1), least, np.float32(np.nan))

    @property
    def abstained(self) -> NDArray[np.bool_]:
        """None is withheld, ``(n,)``."""
        return np.zeros(len(self), np.bool_)

    @property
    def answers(self) -> tuple[tuple[Span, ...] | None, ...]:
        """Begin, end and label of each span of each input."""
        return tuple(tuple(span for span, _ in row) for row in self.found)


@dataclass(frozen=True, slots=True, eq=False)
class Relevance(Scores):
    """How likely each candidate is relevant to its query: ``probabilities`` is ``(n, 1)``."""


ANSWERS: Mapping[Link, type[Predictions]] = {
    "softmax": Predictions,
    "sigmoid": LabelSets,
    "identity": Scores,
    "spans": Spans,
    "relevance": Relevance,
}
"""What a predictor's linked numbers are."""


def linked(
    link: Link, logits: NDArray[np.float64], temperature: float = 1.0
) -> NDArray[np.float32]:
    """What logits ``(n, k)`` mean, ``(n, k) float32``: probabilities, or scores as they are.

    The softmax is stable for large logits. Of spans the log odds alone are divided by the
    temperature, and become probabilities.
    """
    if link == "spans":
        found = logits.astype(np.float32)
        odds = logits[:, OF_ANSWER - 1 :: OF_ANSWER] / temperature
        likely = linked("sigmoid", odds)
        found[:, OF_ANSWER - 1 :: OF_ANSWER] = np.where(begins(logits, OF_ANSWER), likely, NONE)
        return found
    logits = logits / temperature
    if link == "identity":
        return logits.astype(np.float32)
    if link in ("sigmoid", "relevance"):
        return (0.5 * (1.0 + np.tanh(0.5 * logits))).astype(np.float32)
    if not len(logits):
        return np.zeros(logits.shape, np.float32)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (shifted / shifted.sum(axis=1, keepdims=True)).astype(np.float32)


def recentred(
    probabilities: NDArray[np.float32], thresholds: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Probabilities with their log odds moved, so that thresholds come to lie at ``HOLDS``.

    Whatever asks which labels are answered then need not know of thresholds. What is at or above
    its own is at or above ``HOLDS``, rounding or not.

    Args:
        probabilities: ``(n, k)``.
        thresholds: ``(k,)`` or ``(n, k)``, in (0, 1).
    """
    p = np.clip(probabilities.astype(np.float64), 1e-9, 1.0 - 1e-9)
    odds = np.log(p / (1.0 - p)) - np.log(thresholds / (1.0 - thresholds))
    moved = linked("sigmoid", odds)
    below = np.nextafter(np.float32(HOLDS), np.float32(0.0))
    return np.where(
        probabilities >= thresholds, np.maximum(moved, np.float32(HOLDS)), np.minimum(moved, below)
    )


def stated(confidence: float) -> float | None:
    """A confidence to six digits; ``None`` where it is NaN, so that none is stated."""
    return None if math.isnan(confidence) else round(confidence, 6)


def undecided(probabilities: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Rows whose labels are all equally probable, so that none is meant.

    Args:
        probabilities: ``(..., n, k)``.

    Returns:
        ``(..., n)``; with a single label nothing is undecided.
    """
    if probabilities.shape[-1] < 2:
        return np.zeros(probabilities.shape[:-1], np.bool_)
    return probabilities.max(axis=-1) == probabilities.min(axis=-1)


def set_threshold(thresholds: Mapping[str, float], coverage: float) -> float:
    """The threshold of sets that promise so much.

    Raises:
        InputError: If there is none.
    """
    found = thresholds.get(f"{coverage:g}")
    if found is not None:
        return found
    known = ", ".join(sorted(thresholds))
    raise InputError(
        f"there are no sets of labels that hold the right one with {coverage:g}.",
        advice=(
            f"There are some for {known}."
            if known
            else "Its examination had too few examples for any; label more and improve again."
        ),
    )
