"""Tasks that move to another encoder: what each one's contest shows, and what all of them lose.

Pure functions of contests. Knows no store and no channel.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist

import msgspec
import numpy as np

from milepost.entities.contest import Contest, Moving
from milepost.entities.decision import Verdict
from milepost.entities.measures import measure_kind
from milepost.entities.migration import Standing, Together
from milepost.metrics.inference.multiplicity import holm
from milepost.releases.gate import most_lost

_FEWEST = 2
"""Fewest tasks that have a mean."""


def standing_of(contest: Contest) -> Standing:
    """How a task does on the other encoder, from the gate's verdict and the comparison."""
    decision, moving = contest.decision, contest.moving
    against = moving.against if moving is not None else None
    refused = _is_refused(contest)
    if refused and not decision.no_use:
        return "misses"
    if moving is None or against is None:
        return "no_use" if refused else "not_shown"
    level = 1.0 - _deciding(contest)
    if refused:
        return "worse" if against.p_worse < level else "no_use"
    if against.p_value < level:
        return "better"
    if most_lost(against) <= moving.loss:
        return "as_good"
    return "worse" if against.p_worse < level else "not_shown"


def together_of(contests: Sequence[Contest], units: Sequence[Sequence[str]]) -> Together | None:
    """What tasks gain on average, with a one-sided lower bound.

    Each task's standard error is had back from its interval. Tasks of one unit are taken as wholly
    dependent, which no dependence exceeds (their errors add up), units as independent (their
    variances do)::

        low = mean - z / m * sqrt(sum over units (sum over tasks se) ** 2)

    Args:
        contests: Of the tasks that were compared; those by a metric that is no share are left out.
        units: Names of tasks that share judged messages, each task in one unit.

    Returns:
        ``None`` where fewer than two tasks are left.
    """
    pairs = {each.task: each for each in contests if _is_share(each)}
    if len(pairs) < _FEWEST:
        return None
    confidence = max(_deciding(each) for each in pairs.values())
    variance, counted = 0.0, 0
    for unit in units:
        errors = [_error(pairs[name]) for name in unit if name in pairs]
        variance += sum(errors) ** 2
        counted += bool(errors)
    gains = [_gain(each) for each in pairs.values()]
    mean = sum(gains) / len(gains)
    half = NormalDist().inv_cdf(confidence) * math.sqrt(variance) / len(gains)
    return Together(
        difference=mean,
        low=mean - half,
        confidence=confidence,
        tasks=len(gains),
        units=counted,
    )


def decide_together(
    contests: Mapping[str, Contest], mean: Together | None, loss: float
) -> tuple[bool, str]:
    """Whether all tasks move, or none, and why.

    All move where on average they are shown to lose no more than is accepted, none of them is
    shown to be worse (Holm 1979 over the tasks), and each has what it demands besides, or without a
    floor is shown to be above ``majority``. A task whose metric is no share must be accepted by
    itself.
    """
    missing = sorted(name for name, each in contests.items() if standing_of(each) == "misses")
    if missing:
        return False, (
            f"{_named(missing)} would miss what {_it(missing)} demands, or cannot show it, so that "
            "none moves."
        )
    alone = sorted(
        name
        for name, each in contests.items()
        if not _is_share(each) and each.decision.verdict != "released"
    )
    if alone:
        return False, f"{_named(alone)} {_is(alone)} not accepted by itself, so that none moves."
    worse = _shown_worse(contests)
    if worse:
        return False, (
            f"{_named(worse)} {_is(worse)} shown to be worse, corrected for {len(contests)} tasks "
            "(Holm), so that none moves."
        )
    useless = sorted(name for name, each in contests.items() if _is_refused(each))
    if useless:
        return False, (
            f"{_named(useless)} {_is(useless)} not shown to be above `majority`, so that none "
            "moves."
        )
    if mean is None:
        return True, "Each task was accepted by itself."
    sure = f"{math.floor(mean.confidence * 1e3 + 1e-6) / 10:g} %"
    found = (
        f"on average over {mean.tasks} tasks {mean.difference:+.4f}, with {sure} confidence at "
        f"least {mean.low:+.4f}"
    )
    if mean.low >= -loss:
        return True, f"The metric changes {found}; a loss of {loss:g} is accepted."
    return False, f"The metric changes {found}, and only a loss of {loss:g} is accepted."


def decided_together(contest: Contest, *, moves: bool, reason: str) -> Contest:
    """A contest with the verdict that was reached for all tasks together, and why first."""
    reasons = (reason, *contest.decision.reasons)
    return _with_verdict(contest, "released" if moves else "kept", reasons)


def only_judged(contest: Contest, said: str) -> Contest:
    """A contest after which nothing moves: its own reasons, and last that this was asked for."""
    return _with_verdict(contest, "kept", (*contest.decision.reasons, said))


def _with_verdict(contest: Contest, verdict: Verdict, reasons: tuple[str, ...]) -> Contest:
    own = contest.decision
    return msgspec.structs.replace(
        contest,
        decision=msgspec.structs.replace(
            own, verdict=own.verdict if _is_refused(contest) else verdict, reasons=reasons
        ),
        moving=msgspec.structs.replace(contest.moving or Moving(loss=0.0), together=True),
    )


def _is_refused(contest: Contest) -> bool:
    """Whether the candidate is not good enough by itself, or not shown to be."""
    return contest.decision.verdict in {"rejected", "insufficient_evidence"}


def _shown_worse(contests: Mapping[str, Contest]) -> list[str]:
    """Tasks that are shown to be worse after a correction for looking at so many."""
    compared = {
        name: each.moving.against
        for name, each in contests.items()
        if each.moving is not None and each.moving.against is not None
    }
    adjusted = holm(np.array([each.p_worse for each in compared.values()]))
    return sorted(
        name
        for name, p_value in zip(compared, adjusted.tolist(), strict=True)
        if p_value < 1.0 - _deciding(contests[name])
    )


def _is_share(contest: Contest) -> bool:
    moving = contest.moving
    if moving is None or moving.against is None:
        return False
    return measure_kind(moving.against.metric).share


def _gain(contest: Contest) -> float:
    """Difference of the metric, above 0 where the other encoder is better."""
    assert contest.moving is not None  # noqa: S101 — seen before, for the type checker
    assert contest.moving.against is not None  # noqa: S101
    difference = contest.moving.against.difference
    return difference if measure_kind(contest.moving.against.metric).higher else -difference


def _error(contest: Contest) -> float:
    """Standard error of the difference, from the side of its interval on which the loss is."""
    assert contest.moving is not None  # noqa: S101
    assert contest.moving.against is not None  # noqa: S101
    half = most_lost(contest.moving.against) + _gain(contest)
    return half / NormalDist().inv_cdf(_deciding(contest))


def _deciding(contest: Contest) -> float:
    """Confidence of what the contest's gate decided."""
    chosen = contest.chosen
    card = chosen.scorecard if chosen is not None else None
    return 0.95 if card is None or card.spent is None else 1.0 - card.spent.alpha


def _named(names: Sequence[str]) -> str:
    shown = [f"`{name}`" for name in names[:3]]
    if len(names) > len(shown):
        shown.append(f"{len(names) - len(shown)} more")
    return " and ".join(shown) if len(shown) < 3 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _it(names: Sequence[str]) -> str:
    return "it" if len(names) == 1 else "each of them"
