"""What reports read besides the entities: a row of an overview, a row of the doctor, a subject."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec

from milepost.entities.contest import Candidate, Contest
from milepost.entities.decision import Verdict
from milepost.entities.errors import InputError
from milepost.entities.estimate import Estimate
from milepost.entities.examination import Examination
from milepost.entities.example import QualityReport
from milepost.entities.learning import HeadUpdate
from milepost.entities.prediction import Predictions
from milepost.entities.release import Channel, Release
from milepost.entities.scorecard import Scorecard
from milepost.entities.task import Task

DoctorStatus = Literal["ok", "missing", "warning"]
"""``ok``: there. ``missing``: not there, and optional. ``warning``: there, but something needs
attention, or it is needed and not there."""


class TaskRow(msgspec.Struct, frozen=True, kw_only=True):
    """A task in the overview of a workspace.

    Attributes:
        task: Name of the task.
        labels: How many labels it has.
        examples: Labelled examples of its last contest; ``None`` when it had none.
        verdict: Verdict of its last contest; ``None`` before the first.
        strategy: The strategy that was put before the gate.
        metric: The objective's metric.
        estimate: Certified quality of that strategy.
        production: Number of the release in production.
        cost_per_1k_usd: Cost of a thousand predictions in USD.
        p50_ms: Median latency of one prediction in milliseconds.
    """

    task: str
    labels: int
    examples: int | None = None
    verdict: Verdict | None = None
    strategy: str | None = None
    metric: str
    estimate: Estimate | None = None
    production: int | None = None
    cost_per_1k_usd: float | None = None
    p50_ms: float | None = None


class DoctorRow(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that ``milepost doctor`` looked at.

    Attributes:
        name: What was looked for, such as ``onnxruntime`` or ``embedded encoder``.
        status: Whether it is there.
        found: Version or place; empty when it is missing.
        enables: What it is good for, or what to do to get it.
    """

    name: str
    status: DoctorStatus
    found: str = ""
    enables: str = ""


class VariantSpeed(msgspec.Struct, frozen=True, kw_only=True):
    """One variant of an encoder on this machine.

    Attributes:
        variant: ``fp32`` or ``int8``.
        texts_per_second: By the number of tokens of a text, on one core, in batches.
        all_cores: Texts of 12 tokens per second with one caller per core.
        one_ms: Milliseconds of a single text of 12 tokens, median.
        similarity: Mean cosine between its vectors and those of fp32.
        neighbours: Largest change of a value of a vector when other texts stand beside it.
    """

    variant: str
    texts_per_second: dict[int, float]
    all_cores: float
    one_ms: float
    similarity: float
    neighbours: float


class Speed(msgspec.Struct, frozen=True, kw_only=True):
    """What ``milepost doctor --speed`` measured.

    Attributes:
        encoder: Name of the encoder.
        processor: Name of the processor.
        cores: Cores that this process may use.
        instructions: The best instructions for small integers that it has.
        variants: One row per variant, the reference first.
        choice: The variant to serve on.
        reason: Why, in words.
    """

    encoder: str
    processor: str
    cores: int
    instructions: str
    variants: tuple[VariantSpeed, ...]
    choice: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSubject:
    """All that a report says about one task.

    Attributes:
        task: The task.
        contest: Its last contest; ``None`` before the first.
        quality: What was found in its examples.
        test_quality: What was found in its test file.
        releases: Its releases, oldest first.
        channel: Where production points.
    """

    task: Task
    contest: Contest | None = None
    quality: QualityReport | None = None
    test_quality: QualityReport | None = None
    releases: tuple[Release, ...] = ()
    channel: Channel | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """A candidate with what a close examination of it found.

    Attributes:
        task: The task as it was in its contest.
        contest: Its contest.
        candidate: The candidate; it has a scorecard.
        release: Number of its release; ``None`` where it was not released.
        live: Whether that release is in production.
    """

    task: Task
    contest: Contest
    candidate: Candidate
    release: int | None = None
    live: bool = False

    @property
    def scorecard(self) -> Scorecard:
        """Its scorecard.

        Raises:
            InputError: If it has none.
        """
        if self.candidate.scorecard is None:
            raise InputError(f"the candidate {self.candidate.id!r} has no scorecard.")
        return self.candidate.scorecard

    @property
    def found(self) -> Examination:
        """What was found; empty where it was never examined."""
        return self.scorecard.examination or Examination()


class Answered(Protocol):
    """Texts with the answers that a release or a candidate gave."""

    @property
    def task(self) -> str:
        """Name of the task."""
        ...

    @property
    def release(self) -> int | None:
        """Number of the release, or ``None`` for an unreleased candidate."""
        ...

    @property
    def candidate(self) -> str:
        """Id of the candidate."""
        ...

    @property
    def texts(self) -> Sequence[str]:
        """The ``n`` inputs."""
        ...

    @property
    def may_withhold(self) -> bool:
        """Whether an answer may be withheld."""
        ...

    @property
    def update(self) -> HeadUpdate | None:
        """What the release learned and forgot since it was made, where that answered."""
        ...

    @property
    def sets(self) -> Sequence[Sequence[str]] | None:
        """Labels that each input may have, where they were asked for."""
        ...

    @property
    def predictions(self) -> Predictions:
        """The ``n`` answers."""
        ...
