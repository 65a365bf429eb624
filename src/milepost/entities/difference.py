"""Records of a comparison of two candidates or releases: what changed, on which inputs."""

from typing import Literal

import msgspec

from milepost.entities.decision import Comparison
from milepost.entities.estimate import Estimate
from milepost.entities.ids import CandidateId, ContestId
from milepost.entities.kinds import Kind
from milepost.entities.scorecard import Calibration, Latency

Told = Literal["better", "worse", "same", "undecided"]
"""What is shown of the second one: ``same`` where both gave every example the same answer,
``undecided`` where the examples cannot tell them apart."""


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two, with its own numbers on the examples that both are compared on.

    Attributes:
        name: In words, such as ``release 2`` or ``neighbours``.
        candidate: Its id.
        contest: The contest that it comes from.
        release: Number of its release; ``None`` where it was not released.
        strategy: Name of its strategy.
        estimate: The objective's metric.
        also: The other metrics of the kind by name; empty where one label is answered.
        calibration: Reliability of its confidences, of spans that of each that was found; ``None``
            where an answer states none, or none was given.
        confidence: Mean probability of its answers, 0 to 1; ``None`` with ``calibration``.
        latency: As its contest measured it; ``None`` where it did not.
        fresh: Examples that it was asked about for this comparison; the other answers are those
            that its contest recorded.
    """

    name: str
    candidate: CandidateId
    contest: ContestId
    release: int | None
    strategy: str
    estimate: Estimate
    calibration: Calibration | None
    confidence: float | None
    latency: Latency | None
    fresh: int = 0
    also: dict[str, Estimate] = {}


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """An example, or a query, to which the two gave different answers.

    Attributes:
        id: Its id; of a query that of its most relevant candidate.
        text: The input, shortened.
        actual: What is right, in words: its label, its labels, its score, its spans each with its
            label, or the most relevant candidate.
        first: Answer of the first one, in the same words; of an order where the relevant
            candidates stand, and what stands above them.
        first_confidence: Probability of it; ``None`` where an answer is more than one label.
        second: Answer of the second one.
        second_confidence: Probability of it; ``None`` as that of the first.
        first_value: How good the first answer is by itself: F1 of labels or spans, how far off a
            score is, the objective's metric of an order; ``None`` where an answer is right or
            wrong.
        second_value: The same of the second answer.
        won: Single labels or spans that only the second one decided rightly, in words; ``not …``
            where it rightly leaves out what the first one gave.
        lost: Those that only the first one decided rightly.
    """

    id: str
    text: str
    actual: str
    first: str
    first_confidence: float | None
    second: str
    second_confidence: float | None
    first_value: float | None = None
    second_value: float | None = None
    won: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """The two on a part of the examples: those of a label, or of a slice.

    Where an answer is one label, both are measured by right answers, and examples are counted.
    Elsewhere a label is measured by its F1, and what is counted is examples or spans that have it,
    or that either of the two gave it to; a slice is measured by the objective's metric, and its
    examples, or queries, are counted.

    Attributes:
        name: Name of the label or slice.
        predicate: SQL of a slice; empty for a label.
        n: Examples, decisions or queries in it.
        first: Share of them that the first one got right, or its F1 or metric.
        second: Share of them that the second one got right, or its F1 or metric.
        wins: Those that only the second one got right, or that it answered better.
        losses: Those that only the first one got right, or that it answered better.
        low: Lower end of the interval of ``second - first``, simultaneous over all parts.
        high: Upper end of it.
        p_value: Two-sided p-value of "no difference", adjusted by Holm over all parts.
    """

    name: str
    predicate: str = ""
    n: int
    first: float
    second: float
    wins: int
    losses: int
    low: float
    high: float
    p_value: float


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How the answers of the two agree, in examples, or in queries where candidates are ordered.

    An answer that is more than one label is better or worse than another; it is right where it
    could not be better.

    Attributes:
        n: All of them.
        both_right: Both right.
        wins: The first wrong, the second right; or the second better.
        losses: The first right, the second wrong; or the second worse.
        same_wrong: Both wrong with the same answer.
        differently_wrong: Both wrong with different answers, none of which is better.
    """

    n: int
    both_right: int
    wins: int
    losses: int
    same_wrong: int
    differently_wrong: int

    @property
    def agreement(self) -> float:
        """Share of examples with the same answer, 0 to 1."""
        return (self.both_right + self.same_wrong) / self.n


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What the second one does differently from the first, on examples honest for both.

    Attributes:
        task: Task name.
        kind: Kind of the task.
        metric: The objective's metric.
        first: The one that is compared with, often what runs.
        second: The one that is judged.
        source: Where the examples come from, in words.
        comparison: The second against the first in the metric.
        p_value: Two-sided p-value of "no difference".
        told: What is shown.
        verdict: The same as sentences.
        counts: Right and wrong, together and apart.
        labels: Right answers by label, the largest difference first, whatever the metric; of sets
            of labels and of spans the F1. Labels without examples are left out.
        slices: Right answers by declared slice, whatever the metric; of other kinds than one label
            the metric.
        wins: Examples that only the second got right, the most confident first; or that it
            answered better, the largest gain first.
        losses: Examples that only the first got right, those first of which the second was
            surest; or that the second answered worse, the largest loss first.
        differently_wrong: Examples that both got wrong, each its own way, none better.
        gains: What single examples or queries gained, from the largest loss to the largest gain,
            as the 101 percentiles from the 0th to the 100th: F1 of labels or spans, how much less
            far off a score is, or the metric of an order. Empty where an answer is one label.
        rows_to_tell: About how many examples would tell the two apart if the difference stays as
            measured; ``None`` where they are told apart, or no practical number would.
        notes: What a reader must know, such as which examples were left out.
    """

    task: str
    kind: Kind = "classify"
    metric: str
    first: Side
    second: Side
    source: str
    comparison: Comparison
    p_value: float
    told: Told
    verdict: tuple[str, ...]
    counts: Counts
    labels: tuple[Part, ...] = ()
    slices: tuple[Part, ...] = ()
    wins: tuple[Changed, ...] = ()
    losses: tuple[Changed, ...] = ()
    differently_wrong: tuple[Changed, ...] = ()
    gains: tuple[float, ...] = ()
    rows_to_tell: int | None = None
    notes: tuple[str, ...] = ()
