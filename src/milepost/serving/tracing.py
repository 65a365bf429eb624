"""One trace per answer, whole; what of it is kept is the recorder's business."""

from collections.abc import Sequence
from hashlib import sha256

from milepost._base.clock import Clock
from milepost.entities.serving import Answers, Ask, Shadowed, Trace
from milepost.serving.engine.work import Outcome


def traces_of(
    ask: Ask,
    answers: Answers,
    outcomes: Sequence[Outcome],
    shadows: Sequence[Shadowed | None],
    timed: tuple[Clock, float],
) -> list[Trace]:
    """The traces of a request.

    Args:
        ask: What was asked.
        answers: What was answered.
        outcomes: What the engine said of each text.
        shadows: What the release in the shadow said of each.
        timed: Clock, and the seconds that the request took.
    """
    now, seconds = timed[0](), timed[1]
    subject = None
    if ask.subject is not None:
        subject = sha256(ask.subject.encode("utf-8", "replace")).hexdigest()
    fresh = answers.usage.inputs - answers.usage.cached
    each_usd = answers.usage.cost_usd / fresh if fresh else 0.0
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
            cached=outcome.cached,
            cost_usd=0.0 if outcome.cached else each_usd,
            protocol=ask.protocol,
            request=ask.request,
        )
        for text, answer, outcome, shadow in zip(
            ask.texts, answers.predictions, outcomes, shadows, strict=True
        )
    ]
