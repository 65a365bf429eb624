"""Records of a comparison of two candidates or releases: what changed, on which inputs."""

from typing import Literal

import msgspec

from milepost.entities.decision import Comparison
from milepost.entities.estimate import Estimate
from milepost.entities.ids import CandidateId, ContestId
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
        calibration: Reliability of its confidences.
        confidence: Mean probability of its answers, 0 to 1.
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
    calibration: Calibration
    confidence: float
    latency: Latency | None
    fresh: int = 0


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """An example to which the two gave different answers.

    Attributes:
        id: Its id.
        text: The input, shortened.
        actual: Its label.
        first: Answer of the first one.
        first_confidence: Probability of it.
        second: Answer of the second one.
        second_confidence: Probability of it.
    """

    id: str
    text: str
    actual: str
    first: str
    first_confidence: float
    second: str
    second_confidence: float


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """The two on a part of the examples: those of a label, or of a slice.

    Attributes:
        name: Name of the label or slice.
        predicate: SQL of a slice; empty for a label.
        n: Examples in it.
        first: Share of them that the first one got right.
        second: Share of them that the second one got right.
        wins: Those that only the second one got right.
        losses: Those that only the first one got right.
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
    """How the answers of the two agree, in examples.

    Attributes:
        n: All of them.
        both_right: Both right.
        wins: The first wrong, the second right.
        losses: The first right, the second wrong.
        same_wrong: Both wrong with the same answer.
        differently_wrong: Both wrong with different answers.
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
        metric: The objective's metric.
        first: The one that is compared with, often what runs.
        second: The one that is judged.
        source: Where the examples come from, in words.
        comparison: The second against the first in the metric.
        p_value: Two-sided p-value of "no difference".
        told: What is shown.
        verdict: The same as sentences.
        counts: Right and wrong, together and apart.
        labels: Right answers by label, the largest difference first, whatever the metric; labels
            without examples are left out.
        slices: Right answers by declared slice, whatever the metric.
        wins: Examples that only the second got right, the most confident first.
        losses: Examples that only the first got right, those first of which the second was
            surest.
        differently_wrong: Examples that both got wrong, each its own way.
        rows_to_tell: About how many examples would tell the two apart if the difference stays as
            measured; ``None`` where they are told apart, or no practical number would.
        notes: What a reader must know, such as which examples were left out.
    """

    task: str
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
    rows_to_tell: int | None = None
    notes: tuple[str, ...] = ()
