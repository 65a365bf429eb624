"""Takes in what somebody says of a served answer; what is taken in can become an example."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace

import msgspec

from milepost.entities.errors import InputError, OverloadedError, UnknownNameError
from milepost.entities.kinds import Kind, said_truth
from milepost.entities.release import Manifest
from milepost.entities.serving import Feedback, Trace, passed_upstream
from milepost.serving.asking import Said
from milepost.serving.recording.ids import age_of, is_id, new_feedback_id
from milepost.serving.recording.policy import text_digest
from milepost.serving.recording.sinks import TraceSink
from milepost.workflows.context import Context
from milepost.workflows.serving.recording import found_trace, open_sink, require_task

MOST_COMMENT = 2000
"""Longest comment, in characters."""

_LONGEST_WAIT = 2.0
_YOUNG_FLUSHES, _YOUNG_SECONDS = 4, 5.0
_LOOKS = (0.1, 0.9)
"""When a trace that is not there yet is looked for again, as shares of the time between flushes."""


def give_feedback(context: Context, sink: TraceSink, said: Said) -> tuple[Feedback, bool]:
    """Keep what somebody said of an answer; the same said again by the same key is kept once.

    Reads and writes the ledger: an event loop calls it in a thread. It is on the disk when this
    returns.

    Args:
        context: The workspace.
        sink: Where the trace is.
        said: What was said, and by whom.

    Returns:
        The record, and whether it is new.

    Raises:
        UnknownNameError: If there is no such trace, or it is of a task that the key may not speak
            of, or there is no such label; the nearest is named.
        InputError: If no task has answered, nothing was said, or the input is needed and missing,
            or is not the one.
        OverloadedError: If the key has said as much as it may in 24 hours.
    """
    _check(said)
    trace = found_trace(sink, said.trace)
    if said.tasks and trace.task not in said.tasks:
        # Whether there is such a trace of another task is nobody's business.
        raise UnknownNameError("trace of a task of this key", said.trace, ())
    upstream = passed_upstream(trace.task)
    if upstream is not None:
        raise InputError(
            f"{upstream} was asked itself here: no task answered, so there is nothing that "
            "feedback could make better.",
            advice="What is to be learned from goes to a task: label what "
            f"`milepost traces {trace.task}` shows, and give it to one with `milepost add`.",
        )
    text = _text(trace, said)
    if said.label is not None:
        kind, labels = _labels(context, trace)
        said = replace(said, label=said_truth(kind, said.label, labels, text))
    feedback = Feedback(
        id=new_feedback_id(),
        trace=trace.id,
        task=trace.task,
        release=trace.release,
        channel=trace.channel,
        at=context.clock(),
        key=said.key,
        label=said.label,
        rating=said.rating,
        comment=said.comment,
        text=text,
        answered=trace.label,
    )
    return context.ledger.add_feedback(feedback, most=context.settings.feedback_per_key)


def _check(said: Said) -> None:
    if said.label is None and said.rating is None and not said.comment:
        raise InputError(
            "nothing was said of the answer.",
            advice="Give the right label, a rating from 0 to 1, or a comment.",
        )
    if said.rating is not None and not (math.isfinite(said.rating) and 0 <= said.rating <= 1):
        raise InputError(
            f"the rating {said.rating:g} is out of range.",
            where="rating",
            advice="It is a number from 0 (useless) to 1 (right).",
        )
    if said.comment is not None and len(said.comment) > MOST_COMMENT:
        raise InputError(
            f"the comment has {len(said.comment):,} characters.",
            where="comment",
            advice=f"It may have {MOST_COMMENT:,}.",
        )
    for name in ("label", "comment", "text"):
        value = getattr(said, name)
        try:
            (value or "").encode()
        except UnicodeEncodeError:
            raise InputError("it holds half a character.", where=name) from None


def _labels(context: Context, trace: Trace) -> tuple[Kind, tuple[str, ...]]:
    """Kind and labels of the task now; labels of the release where the task file names none."""
    task = context.ledger.task(trace.task).task
    if task.labels:
        return task.kind, tuple(task.labels)
    release = context.ledger.release(trace.task, trace.release)
    return task.kind, msgspec.json.decode(
        context.artifacts.get(release.bundle), type=Manifest
    ).labels


def _text(trace: Trace, said: Said) -> str | None:
    """The input that this is about, where it is known."""
    if trace.text is not None:
        if said.text is not None and said.text != trace.text:
            raise InputError(
                "this is not the input of the trace.",
                where="text",
                advice="Leave it out: the trace has kept it.",
            )
        return trace.text
    if said.text is None:
        if said.label is not None:
            raise InputError(
                "the input of this trace was not kept, and a correction is of no use without it.",
                where="text",
                advice="Give the input again, as it was asked.",
            )
        return None
    if trace.text_sha256 is not None and text_digest(said.text) != trace.text_sha256:
        raise InputError(
            "this is not the input of the trace: its digest is another.",
            where="text",
            advice="Give it exactly as it was asked.",
        )
    return said.text


def give(context: Context, said: Said) -> tuple[Feedback, bool]:
    """``give_feedback`` where nothing serves; see there."""
    with closing(open_sink(context)) as sink:
        return give_feedback(context, sink, said)


def said_of(
    context: Context, task: str | None, *, trace: str | None = None, key: str | None = None
) -> list[Feedback]:
    """What was said of a task's answers, or of one trace, or by one key, newest first.

    Raises:
        UnknownNameError: If there is no such task.
    """
    require_task(context, task)
    return list(context.ledger.feedback(task, trace=trace, key=key))


def feedback_of(
    context: Context, sink: TraceSink, hurry: Callable[[], None] = lambda: None
) -> Callable[[Said], Awaitable[tuple[Feedback, bool]]]:
    """``give_feedback`` for an event loop: the ledger is asked in a thread.

    A trace that was made a moment ago may not be written yet, by this process or by another one:
    it is waited for, one flush long. Then an ``OverloadedError`` says when to come back.

    Args:
        context: The workspace.
        sink: Where the traces are.
        hurry: Has this process write now what it still holds.
    """
    flush = context.settings.flush_seconds

    async def give(said: Said) -> tuple[Feedback, bool]:
        for share in _LOOKS:
            try:
                return await asyncio.to_thread(give_feedback, context, sink, said)
            except UnknownNameError as error:
                if error.kind != "trace" or not _may_come(said.trace, flush):
                    raise
            hurry()
            await asyncio.sleep(share * min(flush, _LONGEST_WAIT))
        try:
            return await asyncio.to_thread(give_feedback, context, sink, said)
        except UnknownNameError as error:
            if error.kind != "trace":
                raise
            raise OverloadedError(
                "the trace is not there yet; its id is a moment old.",
                retry_after=max(1.0, flush),
            ) from None

    return give


def _may_come(trace: str, flush: float) -> bool:
    """Whether a trace is so young that it may not be written yet."""
    young = max(_YOUNG_FLUSHES * flush, _YOUNG_SECONDS)
    return trace[:1] == "t" and is_id(trace) and abs(age_of(trace)) < young
