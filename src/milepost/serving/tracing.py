"""One trace per answer, whole; what of it is kept is the recorder's business."""

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from milepost._base.clock import Clock
from milepost.entities.money import MICRO
from milepost.entities.serving import Answer, Answers, Ask, FailedCall, Shadowed, Trace
from milepost.serving.deciding import Decided
from milepost.serving.engine.work import Outcome
from milepost.serving.passes import Passes
from milepost.serving.routing.plan import Place


def traces_of(
    ask: Ask,
    answers: Answers,
    outcomes: Sequence[Outcome],
    shadows: Sequence[Shadowed | None],
    timed: tuple[Clock, float],
    costs: Sequence[float] | None = None,
) -> list[Trace]:
    """The traces of a request.

    Args:
        ask: What was asked.
        answers: What was answered.
        outcomes: What the engine said of each text.
        shadows: What the release in the shadow said of each.
        timed: Clock, and the seconds that the request took.
        costs: What each text cost in USD, where language models may have been asked; ``None``
            shares the cost of the request among what did not come from the cache.
    """
    now, seconds = timed[0](), timed[1]
    subject = None
    if ask.subject is not None:
        subject = sha256(ask.subject.encode("utf-8", "replace")).hexdigest()
    fresh = answers.usage.inputs - answers.usage.cached
    each_usd = answers.usage.cost_usd / fresh if fresh else 0.0
    driven = costs is not None and not answers.usage.cached
    if costs is None:
        costs = [0.0 if outcome.cached else each_usd for outcome in outcomes]
    return [
        Trace(
            id=answer.trace_id,
            task=ask.task,
            release=answers.release,
            channel=answers.channel,
            at=now,
            key=ask.key,
            subject=subject,
            label=answer.label,
            confidence=answer.confidence,
            probabilities=answer.probabilities,
            abstained=answer.abstained,
            rung=answer.rung,
            guards=answer.guards,
            shadow=shadow,
            text=text,
            seconds=seconds,
            cached=outcome.cached and not driven,
            cost_usd=cost,
            protocol=ask.protocol,
            request=ask.request,
            similar=answer.cached == "similar",
        )
        for text, answer, outcome, shadow, cost in zip(
            ask.texts, answers.predictions, outcomes, shadows, costs, strict=True
        )
    ]


def priced(
    answers: Answers, passes: Passes, decided: Sequence[Decided]
) -> tuple[Answers, list[float]]:
    """The answers with what language models cost, and what each text cost in USD.

    A release that is driven costs what its calls did; one that is not, whose guards are, costs
    that on top. None of the answers of a driven one counts as cached: a cache of language models
    has calls of its own, which cost nothing.
    """
    costs = [sum(one.micro_usd for one in each.asked) / MICRO for each in decided]
    usage = answers.usage
    cached = usage.cached
    if Place(0, 0) in passes.route.driven:
        cached = 0
    elif fresh := usage.inputs - cached:
        own = usage.cost_usd / fresh
        lane = passes.lanes[0]
        costs = [c + (0.0 if o.cached else own) for c, o in zip(costs, lane, strict=True)]
    calls = sum(one.calls for each in decided for one in each.asked)
    usage = msgspec.structs.replace(usage, cached=cached, cost_usd=sum(costs), model_calls=calls)
    predictions = tuple(map(_as_asked, answers.predictions, decided))
    return msgspec.structs.replace(answers, predictions=predictions, usage=usage), costs


def _as_asked(answer: Answer, decided: Decided) -> Answer:
    """The answer, which says where a cache answered what was asked for it, or why nobody did."""
    failure = decided.given.failure
    if failure is not None:
        again = msgspec.UNSET if failure.retry_after is None else failure.retry_after
        failed = FailedCall(outcome=failure.outcome, message=failure.outside, retry_after=again)
        return msgspec.structs.replace(answer, failed=failed)
    kinds = {one.cached for one in decided.asked if one.calls}
    if "similar" in kinds:
        return msgspec.structs.replace(answer, cached="similar")
    return msgspec.structs.replace(answer, cached="exact") if kinds == {"exact"} else answer
