"""What answers of a task cost, what a point of quality costs, and when a specialist pays off."""

from datetime import date
from typing import Annotated, Literal

import msgspec

from milepost.entities.estimate import Estimate
from milepost.entities.ids import CandidateId, ContestId

Positive = Annotated[float, msgspec.Meta(gt=0.0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0.0)]
Whole = Annotated[int, msgspec.Meta(ge=0)]


class Assumptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What advice takes for granted because no ledger knows it.

    Attributes:
        usd_per_label: What it costs to label one example, in USD.
        labels: Examples that a specialist needs; ``None`` takes those that it was trained on.
        labels_per_month: Examples labelled anew each month to keep a specialist up to date.
        fixed_usd_per_month: What keeping a specialist running costs beside its CPU seconds, such
            as a machine that is there anyhow or not.
        months: Time over which what is paid once is spread.
        per_month: Answers a month to compute bills for; ``None`` for none.
    """

    usd_per_label: NotNegative = 0.10
    labels: Whole | None = None
    labels_per_month: Whole = 0
    fixed_usd_per_month: NotNegative = 0.0
    months: Positive = 12.0
    per_month: Annotated[int, msgspec.Meta(ge=1)] | None = None


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate as something to choose.

    Attributes:
        id: Id of the candidate.
        strategy: Its name in the contest.
        quality: The objective's metric, certified.
        usd_per_1k: What a thousand answers cost: CPU seconds, and calls at their price.
        upstreams: Language models that it asks; empty for a specialist.
        answers_measured: Answers behind the cost.
        p95_ms: 95th percentile of the time of one answer.
        labels: Labelled examples that it was made with; 0 where it needs none.
        once_usd: What is paid once: its labels, and the CPU seconds of its fit.
        usd_per_month: What is paid each month whatever is asked.
        month_usd: Bill of a month at the volume that was asked for, with its share of what is paid
            once; ``None`` where no volume was given.
        chosen: Whether the contest put it before the gate.
        on_frontier: Whether nothing else is as good and as cheap.
    """

    id: CandidateId
    strategy: str
    quality: Estimate
    usd_per_1k: float
    upstreams: tuple[str, ...] = ()
    answers_measured: int = 0
    p95_ms: float = 0.0
    labels: int = 0
    once_usd: float = 0.0
    usd_per_month: float = 0.0
    month_usd: float | None = None
    chosen: bool = False
    on_frontier: bool = False


class PointPrice(msgspec.Struct, frozen=True, kw_only=True):
    """What the step from one offer to a better and dearer one costs.

    Attributes:
        cheaper: Strategy of the cheaper one.
        better: Strategy of the better one.
        points: Hundredths of the metric between them, > 0.
        usd_per_1k: USD more for a thousand answers, ≥ 0.
        usd_per_point: USD more for a thousand answers and a point.
        sure: Whether the better one is better beyond chance, at the confidence of the contest.
    """

    cheaper: str
    better: str
    points: float
    usd_per_1k: float
    usd_per_point: float
    sure: bool


Worth = Literal["pays", "pays_at_once", "never_pays"]


class BreakEven(msgspec.Struct, frozen=True, kw_only=True):
    """From which volume on a specialist costs less than prompting.

    Attributes:
        specialist: Strategy of the specialist.
        prompted: Strategy of who asks a language model.
        worth: Whether there is such a volume; ``never_pays`` where its answers cost no less.
        once_usd: What the specialist costs once, beyond what the other one costs once.
        usd_per_month_more: What it costs each month beyond the other one.
        saved_usd_per_1k: What a thousand answers cost less.
        answers: Answers after which what was paid once is earned back, months apart; ``None``
            where it never is.
        per_month: Answers a month from which on it is cheaper, with what is paid once spread over
            the assumed months; ``None`` where it never is.
        points: Hundredths of the metric that the specialist is better by; negative for worse.
        low: Lower end of the interval of ``points``.
        high: Upper end of it.
        shared_labels: Labels that both need, and that therefore count for neither.
    """

    specialist: str
    prompted: str
    worth: Worth
    once_usd: float
    usd_per_month_more: float
    saved_usd_per_1k: float
    answers: int | None
    per_month: int | None
    points: float
    low: float
    high: float
    shared_labels: int = 0


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """What the last contest of a task says about money.

    Attributes:
        task: Name of the task.
        contest: The contest that the numbers come from.
        metric: Metric of the objective.
        lower_is_better: Whether a lower value of it is better.
        assumed: What was taken for granted.
        cpu_usd_per_hour: Price of a CPU-hour that the costs rest on.
        priced: Day since when the oldest price holds that a cost rests on; ``None`` where nobody
            was asked, or no day was given.
        offers: Candidates with numbers, cheapest answers first.
        points: Steps along the offers that nothing beats, cheapest first.
        break_even: The best specialist against each who asks a language model.
        unknown: Sentences about what these numbers do not say.
    """

    task: str
    contest: ContestId
    metric: str
    lower_is_better: bool
    assumed: Assumptions
    cpu_usd_per_hour: float
    priced: date | None
    offers: tuple[Offer, ...]
    points: tuple[PointPrice, ...] = ()
    break_even: tuple[BreakEven, ...] = ()
    unknown: tuple[str, ...] = ()
