"""Measured numbers of a candidate, each with an interval, a sample size and a method."""

from typing import Literal

import msgspec

from milepost.entities.cascade import CascadeScore
from milepost.entities.estimate import Estimate
from milepost.entities.examination import Examination

Regime = Literal["holdout", "test_file", "cross_fitted"]
"""How a number was certified.

``holdout``: on a part of the data set aside by milepost and never used to choose.
``test_file``: on the user's own test file, never used to choose.
``cross_fitted``: few labels; every prediction comes from a model that did not see its group, and
the optimism of choosing among candidates is removed.
"""


FEW_GROUPS = 10
"""Groups below which their number, and not that of their rows, is what intervals rest on."""


class LabelScore(msgspec.Struct, frozen=True, kw_only=True):
    """Quality on one label. An estimate is ``None`` where there is nothing to measure it on."""

    label: str
    n: int
    precision: Estimate | None
    recall: Estimate | None
    f1: float | None


class SliceScore(msgspec.Struct, frozen=True, kw_only=True):
    """Quality on one slice.

    Attributes:
        name: Name of the slice.
        predicate: Its SQL.
        n: Examples in it.
        estimate: The objective's metric on it; ``None`` where the slice is empty.
        gap: Metric outside the slice minus metric inside; positive means that the slice is worse.
        gap_low: Lower end of the gap's simultaneous (Holm) interval, or ``None``.
        gap_high: Upper end of it, or ``None``.
        p_value: One-sided p-value of "the slice is as good as the rest", adjusted by Holm, or
            ``None``.
    """

    name: str
    predicate: str
    n: int
    estimate: Estimate | None
    gap: float | None = None
    gap_low: float | None = None
    gap_high: float | None = None
    p_value: float | None = None


class CalibrationBin(msgspec.Struct, frozen=True, kw_only=True):
    """One equal-mass bin of the reliability diagram."""

    confidence: float
    accuracy: float
    low: float
    high: float
    n: int


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """How far stated confidence is from observed accuracy.

    Attributes:
        ece: Expected calibration error, 15 equal-mass bins (Nixon et al. 2019), 0 to 1.
        ece_if_perfect: Mean ECE that a perfectly calibrated model would show at this n.
        temperature: Temperature applied to the logits.
        bins: Points of the reliability diagram.
    """

    ece: float
    ece_if_perfect: float
    temperature: float
    bins: tuple[CalibrationBin, ...]


class Mistake(msgspec.Struct, frozen=True, kw_only=True):
    """One wrong prediction, for people to read.

    Attributes:
        id: Id of the example.
        text: What it reads.
        confidence: Of the answer, 0 to 1; ``None`` where none is stated: of a score, of how
            relevant a candidate is, and of a span that was not found.
    """

    id: str
    text: str
    confidence: float | None = None


class Confusion(msgspec.Struct, frozen=True, kw_only=True):
    """How often one label was taken for another, with examples (most confident first)."""

    actual: str
    predicted: str
    n: int
    examples: tuple[Mistake, ...] = ()


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Time of one prediction in a batch of one, input text to label, encoder included.

    Attributes:
        p50_ms: Median in milliseconds.
        p95_ms: 95th percentile in milliseconds.
        n: Predictions timed.
        cpu_seconds_per_1k: Process CPU seconds of a thousand predictions in batches.
        cost_per_1k_usd: ``cpu_seconds_per_1k`` at the workspace's price of a CPU-hour, and calls
            of language models at the price of the day.
    """

    p50_ms: float
    p95_ms: float
    n: int
    cpu_seconds_per_1k: float
    cost_per_1k_usd: float

    @property
    def texts_per_second(self) -> float | None:
        """What one processor answers in batches; ``None`` where no time was measured."""
        return 1000 / self.cpu_seconds_per_1k if self.cpu_seconds_per_1k else None


class Spending(msgspec.Struct, frozen=True, kw_only=True):
    """What one look at the judged messages cost of the error that all looks at them may make.

    Attributes:
        look: Which look of its life it is, from 1.
        of_life: Which life of the judged messages it is, from 1; a new one begins when more than
            half of them were not looked at before the current one had begun.
        alpha: Probability of a false statement that this look's decision was allowed: its
            one-sided statements hold with confidence ``1 - alpha``.
        left: What later looks of this life can still spend, should this one release nothing.
        most: Looks after which the messages are worn out.
        margin: How many times as far above its floor a candidate must be measured as at a look
            that pays nothing, about; 1 or more, but for one that was handed on much.
    """

    look: int
    of_life: int
    alpha: float
    left: float
    most: int
    margin: float = 1.0


class Scorecard(msgspec.Struct, frozen=True, kw_only=True):
    """Every measured number of a candidate.

    Attributes:
        regime: How the numbers were certified.
        metric: The objective's metric.
        lower_is_better: Whether a lower value of that metric is better.
        metrics: All metrics by name.
        labels: Per label, in the order of the task.
        slices: Per declared slice.
        calibration: Reliability of the confidences.
        confusions: The most frequent confusions, worst first.
        latency: Time and cost; ``None`` where it was not measured.
        looks: How often these examples have been judged on, this time included; 0 where looks are
            not recorded, as for a file from outside.
        unknown_labels: Rows whose label the task does not know; counted as wrong.
        notes: Sentences a reader must know, such as which correction was applied.
        provenance: Digests: ``examples``, ``holdout``, ``encoder``, ``variant``, ``code``, and
            ``measure`` of the file with the user's own one.
        examination: A closer look; made of the chosen candidate of a contest only.
        spent: What this look cost; ``None`` where looks are not paid for.
        naive: The objective's metric had the rows that leak into the test file been trained on;
            ``None`` where none leaks, or the candidate is not the chosen one.
        cascade: What a cascade promises and what was found of it; ``None`` for what is none.
        groups: Groups of the task's own group column, such as customers, that the rows are of:
            intervals rest on them. 0 where the task names none.
    """

    regime: Regime
    metric: str
    metrics: dict[str, Estimate]
    labels: tuple[LabelScore, ...] = ()
    slices: tuple[SliceScore, ...] = ()
    calibration: Calibration | None = None
    confusions: tuple[Confusion, ...] = ()
    latency: Latency | None = None
    looks: int = 0
    unknown_labels: int = 0
    notes: tuple[str, ...] = ()
    provenance: dict[str, str] = {}
    examination: Examination | None = None
    spent: Spending | None = None
    naive: Estimate | None = None
    lower_is_better: bool = False
    groups: int = 0
    cascade: CascadeScore | None = None

    @property
    def objective(self) -> Estimate:
        """Estimate of the objective's metric."""
        return self.metrics[self.metric]
