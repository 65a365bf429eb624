"""What a cascade promises, what was found of it, and whether it still holds."""

from datetime import datetime
from typing import Literal

import msgspec

from milepost.entities.estimate import Estimate

PERSON = "person"
"""Name of the last rung where people answer: a withheld answer."""

TRUTH = "truth"
"""What a promise is about where the labels are right; else the name of what gave them."""


class PromisedRung(msgspec.Struct, frozen=True, kw_only=True):
    """One rung on the rows that certified the promise.

    Attributes:
        name: Strategy, with the upstream where there are several, or ``person``.
        answered: Rows that it answered.
        wrong: Wrong ones among them; ``None`` where the promise does not look: the last rung.
        usd_per_1k: What a thousand of its own answers cost, in USD.
        p50_ms: Median time of one of its answers, in ms.
    """

    name: str
    answered: int
    wrong: int | None
    usd_per_1k: float
    p50_ms: float


class PromisedCost(msgspec.Struct, frozen=True, kw_only=True):
    """What is promised where mistakes do not all cost the same.

    Attributes:
        at_most: Largest mean cost of an answer before the last rung.
        mean: The mean on the rows that certified it.
        costs: What each answered label (column) costs for each actual one (row), in the
            predictor's order of labels.
    """

    at_most: float
    mean: float
    costs: tuple[tuple[float, ...], ...]


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """Of what is answered before the last rung, so much is wrong, or costs so much, at most.

    Attributes:
        at_most_wrong: Largest share of those answers that is wrong, in (0, 1); ``None`` where
            their mean cost is promised instead.
        cost: That mean cost; ``None`` where mistakes are counted.
        confidence: How sure that is, over the rows that certified it.
        threshold: Confidence from which a rung answers.
        against: ``truth``, or who gave the labels: then it is about agreeing with them.
        labels: Labelled rows that certified it; neither the rungs nor the choice of them saw any.
        fitted: Labelled rows that the rungs were fitted on and chosen by.
        answered: Rows among ``labels`` that were answered before the last rung.
        wrong: Wrong ones among those.
        rungs: What each rung did, cheapest first, the last one included.
        usd_per_1k: Cost of a thousand answers of the cascade, in USD, on those rows.
        last_usd_per_1k: The same were the last rung asked at once; ``None`` for people.
        most_usd_per_1k: Mean cost that is promised as well, or ``None``.
        most_p95_ms: Time that 95 % of the answers are promised within, or ``None``.
        method: How it was certified.
    """

    at_most_wrong: float | None
    cost: PromisedCost | None = None
    confidence: float
    threshold: float
    against: str = TRUTH
    labels: int
    fitted: int
    answered: int
    wrong: int
    rungs: tuple[PromisedRung, ...]
    usd_per_1k: float
    last_usd_per_1k: float | None = None
    most_usd_per_1k: float | None = None
    most_p95_ms: float | None = None
    method: str


class RungShare(msgspec.Struct, frozen=True, kw_only=True):
    """One rung on the rows that a scorecard is about.

    Attributes:
        name: As in the promise.
        answered: Rows that it answered.
        right: Right ones among them.
    """

    name: str
    answered: int
    right: int


PromiseOutcome = Literal["kept", "open", "broken"]
"""``kept``: no more is wrong (or costs more) than promised, as measured. ``open``: more is, by no
more than chance, or nobody looked. ``broken``: more is than promised, and that is shown."""


class CascadeScore(msgspec.Struct, frozen=True, kw_only=True):
    """A promise, and what was found of it.

    Attributes:
        promise: What is promised.
        rungs: What each rung did on the judged rows.
        n: Judged rows.
        held_out: Whether these are other rows than those that certified it.
        answered: Share of them that was answered before the last rung.
        wrong: Share of those answers that was wrong; ``None`` without any.
        cost: Mean cost of those answers where that is promised, else ``None``.
        outcome: Whether the promise was kept on them.
        sentence: The same in words.
    """

    promise: Promise
    rungs: tuple[RungShare, ...]
    n: int
    held_out: bool = True
    answered: Estimate | None
    wrong: Estimate | None
    cost: Estimate | None = None
    outcome: PromiseOutcome
    sentence: str


RecheckOutcome = Literal["kept", "open", "broken", "too_few"]
"""As for ``PromiseOutcome``; ``too_few``: fewer were checked than it takes to show a promise."""


class Recheck(msgspec.Struct, frozen=True, kw_only=True):
    """A promise held against answers that people checked since.

    Attributes:
        task: Name of the task.
        release: Number of the release that promised.
        promise: What it promised.
        asked: Served answers before the last rung that people are asked to check.
        checked: Those that somebody gave the right label of.
        needed: Fewest that show such a promise, without a mistake among them.
        wrong: Wrong ones among them.
        evidence: How much the labels speak against the promise: an e-value, at least 1/alpha when
            it is shown to be broken. Valid however often it is looked at.
        risk: Share that is wrong, with its exact interval; ``None`` without labels.
        cost: Mean cost of those answers where that was promised, else ``None``.
        outcome: Whether the promise still holds.
        sentence: The same in words.
        since: Time of the first answer that counts, UTC; ``None`` without any.
    """

    task: str
    release: int
    promise: Promise
    asked: int
    checked: int
    needed: int
    wrong: int
    evidence: float
    risk: Estimate | None
    cost: Estimate | None = None
    outcome: RecheckOutcome
    sentence: str
    since: datetime | None = None
