"""Advice about money: what quality costs, and at what volume a specialist beats prompting.

All numbers are those of the task's last contest; nothing is asked or timed anew. What no ledger
knows, such as the price of a label, is an assumption that the advice repeats.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from datetime import date

import msgspec

from milepost.entities.advice import Advice, Assumptions, BreakEven, Offer, PointPrice, Worth
from milepost.entities.contest import Candidate, Contest
from milepost.entities.errors import InputError, UnknownNameError
from milepost.entities.upstream import NO_DAY
from milepost.workflows.contest.datasets import Split
from milepost.workflows.context import Context
from milepost.workflows.publishing import last_contest

NO_LABELS = frozenset({"majority", "zero_shot", "prompted"})
"""Strategies that work without labelled examples; what these add is calibration."""

FLOOR = "majority"
"""What others are held against; nobody would choose it."""

OLD_DAYS = 180
"""Age in days from which a price is said to be old."""

_SOUND = {
    "labels": "a whole number of 0 or more",
    "labels_per_month": "a whole number of 0 or more",
    "months": "a number above 0",
    "per_month": "a whole number of 1 or more",
}
"""What an assumption may be, where it is not any number of 0 or more."""

FEW = 100
"""Answers below which a mean cost is said to rest on few."""


def advise(
    context: Context, name: str, assumed: Assumptions | Mapping[str, object] | None = None
) -> Advice:
    """What the last contest of a task says about money.

    Args:
        context: The workspace.
        name: Name of the task.
        assumed: What is taken for granted, by field; ``None`` for the defaults.

    Raises:
        UnknownNameError: If there is no such task.
        WorkspaceError: If it had no contest yet.
        InputError: If no candidate of the contest has numbers, or an assumption makes no sense.
    """
    given = _assumptions(assumed)
    contest = last_contest(context, name)
    offers = _offers(contest, _trained_on(context, contest), given)
    if not offers:
        raise InputError(
            "no candidate of the last contest has a cost and a quality.",
            where=f"task {name}",
            advice=f"Run `milepost improve {name}` again.",
        )
    card = next(c.scorecard for c in contest.candidates if c.scorecard is not None)
    sign = -1.0 if card.lower_is_better else 1.0
    frontier = _frontier(offers, sign)
    offers = tuple(msgspec.structs.replace(o, on_frontier=o in frontier) for o in offers)
    priced = _priced(contest)
    return Advice(
        task=name,
        contest=contest.id,
        metric=card.metric,
        lower_is_better=card.lower_is_better,
        assumed=given,
        cpu_usd_per_hour=context.settings.cpu_usd_per_hour,
        priced=priced,
        offers=offers,
        points=tuple(
            _point(contest, first, second, sign) for first, second in itertools.pairwise(frontier)
        ),
        break_even=_break_even(contest, offers, given, sign),
        unknown=_unknown(contest, offers, priced, context.clock().date()),
    )


def _assumptions(assumed: Assumptions | Mapping[str, object] | None) -> Assumptions:
    if isinstance(assumed, Assumptions):
        return assumed
    values = dict(assumed or {})
    for field, value in values.items():
        if field not in Assumptions.__struct_fields__:
            raise UnknownNameError("assumption", field, Assumptions.__struct_fields__)
        try:
            msgspec.convert({field: value}, Assumptions)
            sound = not isinstance(value, float) or math.isfinite(value)
        except msgspec.ValidationError:
            sound = False
        if not sound:
            raise InputError(
                f"the assumption {value!r} makes no sense.",
                where=f"--{field.replace('_', '-')}",
                advice=f"Give {_SOUND.get(field, 'a number of 0 or more')}.",
            )
    return msgspec.convert(values, Assumptions)


def _trained_on(context: Context, contest: Contest) -> int | None:
    """Labelled rows that were trained on; ``None`` where the contest did not record them."""
    if contest.split is None:
        return None
    split = msgspec.json.decode(context.artifacts.get(contest.split), type=Split)
    return len(split.trained)


def _offers(contest: Contest, trained: int | None, given: Assumptions) -> tuple[Offer, ...]:
    offers = [
        _offer(candidate, asked_by(candidate, contest.candidates), trained or 0, given)
        for candidate in contest.candidates
        if candidate.scorecard is not None
        and candidate.scorecard.latency is not None
        and math.isfinite(candidate.scorecard.objective.value)
    ]
    return tuple(sorted(offers, key=lambda o: (o.usd_per_1k, o.strategy)))


def _offer(candidate: Candidate, asks: tuple[str, ...], trained: int, given: Assumptions) -> Offer:
    card = candidate.scorecard
    assert card is not None  # noqa: S101 - the caller looked
    latency = card.latency
    assert latency is not None  # noqa: S101
    specialist = not asks
    free = candidate.strategy.partition("-")[0] in NO_LABELS
    labels = 0 if free else (trained if given.labels is None else given.labels)
    # A language model is asked in a contest to measure it; that is no part of what it needs.
    fit = (candidate.fit_cost_usd or 0.0) if specialist else 0.0
    once = labels * given.usd_per_label + fit
    monthly = given.fixed_usd_per_month if specialist else 0.0
    monthly += 0.0 if free else given.labels_per_month * given.usd_per_label
    bill = None
    if given.per_month is not None:
        bill = given.per_month * latency.cost_per_1k_usd / 1000 + monthly + once / given.months
    return Offer(
        id=candidate.id,
        strategy=candidate.strategy,
        quality=card.objective,
        usd_per_1k=latency.cost_per_1k_usd,
        upstreams=asks,
        answers_measured=latency.n,
        p95_ms=latency.p95_ms,
        labels=labels,
        once_usd=once,
        usd_per_month=monthly,
        month_usd=bill,
        chosen=candidate.chosen,
    )


def asked_by(candidate: Candidate, others: Sequence[Candidate]) -> tuple[str, ...]:
    """Language models that a candidate may ask, those of a cascade's rungs included."""
    found = [asked.upstream for asked in candidate.asked]
    upstream = candidate.parameters.get("upstream")
    if isinstance(upstream, str):
        found.append(upstream)
    card = candidate.scorecard
    if card is not None and card.cascade is not None:
        rungs = {rung.name for rung in card.cascade.promise.rungs}
        for other in others:
            if other.strategy in rungs and other is not candidate:
                found += asked_by(other, ())
    return tuple(dict.fromkeys(found))


def _frontier(offers: Sequence[Offer], sign: float) -> list[Offer]:
    """Offers that no cheaper one equals in quality, cheapest first; the floor is none."""
    kept: list[Offer] = []
    for offer in offers:
        if offer.strategy == FLOOR and len(offers) > 1:
            continue
        if not kept or sign * offer.quality.value > sign * kept[-1].quality.value:
            kept.append(offer)
    return kept


def _point(contest: Contest, first: Offer, second: Offer, sign: float) -> PointPrice:
    points = 100 * sign * (second.quality.value - first.quality.value)
    more = max(0.0, second.usd_per_1k - first.usd_per_1k)
    sure = _difference(contest, second, first, sign)[0] > 0.0
    return PointPrice(
        cheaper=first.strategy,
        better=second.strategy,
        points=points,
        usd_per_1k=more,
        usd_per_point=more / points,
        sure=sure,
    )


def _difference(contest: Contest, one: Offer, other: Offer, sign: float) -> tuple[float, float]:
    """Interval of the first's quality minus the second's; better is positive.

    Where the two were not compared, from both intervals (Zou & Donner 2008, equation 3):
    the same examples were answered by both, so that it is rather too wide.
    """
    compared = _compared(contest, one, other)
    if compared is not None:
        return compared
    a, b = one.quality, other.quality
    low = a.value - b.value - math.hypot(a.value - a.low, b.high - b.value)
    high = a.value - b.value + math.hypot(a.high - a.value, b.value - b.low)
    return min(sign * low, sign * high), max(sign * low, sign * high)


def _compared(contest: Contest, one: Offer, other: Offer) -> tuple[float, float] | None:
    """Interval of the first's quality minus the second's; better is positive.

    Only the chosen candidate was compared with each other one, on the same examples.
    """
    by_id = {c.id: c for c in contest.candidates}
    card = by_id[one.id].scorecard
    sign = -1.0 if card is not None and card.lower_is_better else 1.0
    if one.chosen and (found := by_id[other.id].behind) is not None:
        ends = sign * found.low, sign * found.high
    elif other.chosen and (found := by_id[one.id].behind) is not None:
        ends = -sign * found.low, -sign * found.high
    else:
        return None
    return min(ends), max(ends)


def _break_even(
    contest: Contest, offers: Sequence[Offer], given: Assumptions, sign: float
) -> tuple[BreakEven, ...]:
    own = [o for o in offers if not o.upstreams and o.strategy != FLOOR]
    if not own:
        return ()
    best = max(own, key=lambda o: (o.chosen, sign * o.quality.value, -o.usd_per_1k))
    return tuple(_against(contest, best, other, given, sign) for other in offers if other.upstreams)


def _against(
    contest: Contest, own: Offer, other: Offer, given: Assumptions, sign: float
) -> BreakEven:
    saved = other.usd_per_1k - own.usd_per_1k
    # Labels that both need are no reason for either.
    shared = min(own.labels, other.labels)
    once = max(0.0, own.once_usd - other.once_usd) if shared else own.once_usd
    monthly = own.usd_per_month - other.usd_per_month
    burden = once / given.months + monthly
    worth: Worth = "pays"
    if saved <= 0.0:
        worth = "never_pays"
    elif burden <= 0.0:
        worth = "pays_at_once"
    pays = worth != "never_pays"
    low, high = _difference(contest, own, other, sign)
    return BreakEven(
        specialist=own.strategy,
        prompted=other.strategy,
        worth=worth,
        once_usd=once,
        usd_per_month_more=monthly,
        saved_usd_per_1k=saved,
        answers=math.ceil(1000 * once / saved) if pays else None,
        per_month=max(0, math.ceil(1000 * burden / saved)) if pays else None,
        points=100 * sign * (own.quality.value - other.quality.value),
        low=100 * low,
        high=100 * high,
        shared_labels=shared,
    )


def _priced(contest: Contest) -> date | None:
    days = [a.price.since for c in contest.candidates for a in c.asked if a.price is not None]
    return min((day for day in days if day > NO_DAY), default=None)


def _unknown(
    contest: Contest, offers: Sequence[Offer], priced: date | None, today: date
) -> tuple[str, ...]:
    found: list[str] = []
    asking = [offer for offer in offers if offer.upstreams]
    if not asking:
        found.append(
            "No language model took part, so that nothing can be said of prompting: add one with "
            f"`milepost upstreams add` and run `milepost improve {contest.task} --budget-usd 1`."
        )
    few = [offer for offer in asking if offer.answers_measured < FEW]
    found += [
        f"The cost of {offer.strategy} is the mean of {offer.answers_measured} answers: longer "
        "messages cost more."
        for offer in few
    ]
    undated = {
        a.upstream
        for c in contest.candidates
        for a in c.asked
        if a.price is not None and a.price.since <= NO_DAY
    }
    found += [f"Since when the price of {name} holds was not said." for name in sorted(undated)]
    if priced is not None and (today - priced).days > OLD_DAYS:
        found.append(
            f"The price of a language model is that of {priced}: look whether it still holds."
        )
    failed: dict[str, list[str]] = {}
    for c in contest.candidates:
        if c.error is not None and c.strategy != FLOOR:
            failed.setdefault(c.error, []).append(c.strategy)
    found += [
        f"{', '.join(names)} {'has' if len(names) == 1 else 'have'} no numbers: {error}"
        for error, names in failed.items()
    ]
    if contest.split is None:
        found.append("How many labels the candidates were made with was not recorded.")
    found.append(
        "How fast a specialist wears out when messages change is not known beforehand; labels a "
        "month are an assumption of yours."
    )
    return tuple(found)
