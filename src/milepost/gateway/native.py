"""The native protocol: ask a task, see what can be asked, say what was wrong, look at health."""

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import Annotated, Any

import msgspec

from milepost.entities.errors import nearest
from milepost.entities.inputs import Composition
from milepost.entities.kinds import Kind
from milepost.entities.serving import Answers, Guard, ServedTask
from milepost.entities.spans import MOST_SPANS, written_spans
from milepost.gateway.call import Call, Reply, as_json
from milepost.gateway.errors import RefusedError
from milepost.gateway.ranking import bare_query, query_name, ranked
from milepost.gateway.reading import Reader
from milepost.gateway.routes import Route
from milepost.serving.asking import Said


class PredictRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked of a task.

    Attributes:
        inputs: Texts, or objects with the task's inputs by their names; of a task with several
            inputs objects only. Of a task that ranks a text, or the query alone, is a bare query.
        top_k: Most labels in ``probabilities``, or candidates for a bare query; left out, 5.
        subject: Who or what the answers are for; the same subject always gets the same release.
    """

    inputs: list[str | dict[str, str]]
    top_k: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    subject: Annotated[str, msgspec.Meta(max_length=512)] | None = None


class SaidSpan(msgspec.Struct, frozen=True, kw_only=True):
    """A span that is right.

    Attributes:
        start: Where it begins, in characters from 0.
        end: Where it ends, that character excluded.
        label: What it is.
    """

    start: Annotated[int, msgspec.Meta(ge=0)]
    end: Annotated[int, msgspec.Meta(ge=1)]
    label: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class FeedbackRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody says about an answer: at least one of label, rating and comment.

    Attributes:
        trace_id: Id of the answer's trace.
        label: The right label; a list of labels where any number may hold, the number of a score.
        spans: The right spans, of a task that extracts, in place of the label.
        rating: From 0 (useless) to 1 (right).
        comment: In words.
        text: The input, where the server did not keep it.
    """

    trace_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    label: (
        Annotated[str, msgspec.Meta(max_length=1000)]
        | Annotated[list[str], msgspec.Meta(max_length=1000)]
        | float
        | None
    ) = None
    rating: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] | None = None
    comment: Annotated[str, msgspec.Meta(max_length=20_000)] | None = None
    text: str | None = None
    spans: Annotated[list[SaidSpan], msgspec.Meta(max_length=MOST_SPANS)] | None = None


class TaskInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A task as whoever asks it sees it.

    Attributes:
        name: Its name.
        instruction: The question in words.
        input: Name of its input.
        inputs: Names of its inputs, where it has several.
        kind: What is answered: one label, any number of them, a number, or a label for a pair.
        labels: Its labels with their descriptions.
        release: Release in production.
        canary: Release that answers a share of the traffic.
        share: That share, 0 to 1.
        shadow: Release whose answers are compared and not given.
        variant: Variant of the encoder that serves.
        variant_why: Why that one, in words.
        created: When the release in production was made, UTC.
        guards: Its guards.
        guards_for: Tasks whose traffic it guards.
    """

    name: str
    instruction: str
    input: str
    inputs: tuple[str, ...]
    kind: Kind
    labels: dict[str, str]
    release: int
    canary: int | None
    share: float
    shadow: int | None
    variant: str | None
    variant_why: str
    created: datetime | None
    guards: tuple[Guard, ...]
    guards_for: tuple[str, ...]


class TaskList(msgspec.Struct, frozen=True, kw_only=True):
    """The tasks that a key may ask."""

    tasks: tuple[TaskInfo, ...]


class FeedbackReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """Feedback as it was kept, without the input: that may be another caller's.

    Attributes:
        id: Id of the feedback.
        trace_id: Id of the answer's trace.
        task: Task of the answer.
        release: Release that had answered.
        label: The right label, where it was said.
        rating: From 0 (useless) to 1 (right), where it was said.
        comment: In words, where it was said.
    """

    id: str
    trace_id: str
    task: str
    release: int
    label: str | None
    rating: float | None
    comment: str | None


class Health(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whether a server lives, or should get traffic.

    Attributes:
        status: ``ok`` or ``unready``.
        reason: Why it should get none.
        problems: What of a task cannot be loaded, and why, by its name, of at most 20 tasks; the
            rest, and what was loaded of it before, goes on answering.
    """

    status: str
    reason: str | None = None
    problems: dict[str, str] = {}


MOST_PROBLEMS = 20
"""Tasks whose trouble readiness tells; the metric milepost_task_problems counts all."""

_read_predict = Reader(PredictRequest)
_read_feedback = Reader(FeedbackRequest)


async def predict(call: Call) -> Reply:
    """Answers of one release to all inputs."""
    task = call.arguments["task"]
    # Before the body, so that a key learns nothing by what is said about it.
    call.gate.check_right(call.caller, task)
    request = await call.read(_read_predict)
    served = call.gate.task(call.caller, task)
    texts = texts_of(call, task, request.inputs)
    ask = call.ask(task, texts, top=request.top_k, subject=request.subject)
    if served.kind == "rank" and served.inputs is not None:
        return as_json(await ranked(call, ask, served.inputs))
    return as_json(await call.gate.answer(call.caller, ask))


def texts_of(call: Call, task: str, inputs: Sequence[str | dict[str, str]]) -> tuple[str, ...]:
    """The texts of inputs that may be named.

    Raises:
        RefusedError: 400 if an object holds anything but the task's inputs, or lacks one.
        UnknownNameError: If there is no such task.
    """
    served = call.gate.task(call.caller, task)
    if served.inputs is not None:
        how, query = served.inputs, query_name(served)
        bare = (bare_query(given, query) for given in inputs)
        return tuple(
            _composed(task, how, at, given, query) if alone is None else alone
            for at, (given, alone) in enumerate(zip(inputs, bare, strict=True))
        )
    if all(type(given) is str for given in inputs):
        return tuple(inputs)  # pyright: ignore[reportReturnType] - all are texts
    name = served.input
    texts: list[str] = []
    for index, given in enumerate(inputs):
        if isinstance(given, str):
            texts.append(given)
            continue
        if given.keys() != {name}:
            other = next((key for key in given if key != name), None)
            what = (
                "there is nothing in it" if other is None else f"there is no field {other[:100]!r}"
            )
            near = nearest(other, [name]) if other else None
            raise RefusedError(
                400,
                "missing_field" if other is None else "unknown_field",
                f"the input of {task} is {name!r}; {what}.",
                param=f"inputs[{index}].{(other or name)[:100]}",
                advice=(f"Did you mean {near!r}? " if near else "")
                + "Send a text, or an object with this one field.",
            )
        texts.append(given[name])
    return tuple(texts)


def _composed(
    task: str, how: Composition, at: int, given: str | dict[str, str], alone: str | None = None
) -> str:
    """The one text of several inputs, of which one may be enough alone.

    Raises:
        RefusedError: 400 if one is missing, or there is no such one.
    """
    names = ", ".join(how.names)
    if isinstance(given, str) and len(how.names) == 1:
        given = {how.names[0]: given}  # a lone image needs no name
    if isinstance(given, str):
        raise RefusedError(
            400,
            "missing_field",
            f"the task {task!r} has the inputs {names}, and this is one text.",
            param=f"inputs[{at}]",
            advice="Send an object with these fields.",
        )
    missing = next((name for name in how.names if name not in given), None)
    other = next((name for name in given if name not in how.names), None)
    if missing is not None or other is not None:
        near = nearest(other, how.names) if other else None
        said = (
            f"there is no field {other[:100]!r}" if other else f"the field {missing!r} is missing"
        )
        raise RefusedError(
            400,
            "unknown_field" if other else "missing_field",
            f"the inputs of {task} are {names}; {said}.",
            param=f"inputs[{at}].{(other or missing or '')[:100]}",
            advice=(f"Did you mean {near!r}? " if near else "")
            + (f"Send {names}." if alone is None else f"Send {names}, or {alone!r} alone."),
        )
    return how.text(given)


async def list_tasks(call: Call) -> Reply:
    """The tasks that the key may ask."""
    return as_json(TaskList(tasks=tuple(_info(task) for task in call.gate.tasks(call.caller))))


async def one_task(call: Call) -> Reply:
    """One task."""
    return as_json(_info(call.gate.task(call.caller, call.arguments["task"])))


def _info(task: ServedTask) -> TaskInfo:
    return TaskInfo(
        name=task.name,
        instruction=task.instruction,
        input=task.input,
        inputs=task.inputs.names if task.inputs is not None else (task.input,),
        kind=task.kind,
        labels={label: task.descriptions.get(label, "") for label in task.labels},
        release=task.production,
        canary=task.canary,
        share=task.share,
        shadow=task.shadow,
        variant=task.variant,
        variant_why=task.variant_why,
        created=task.created,
        guards=task.guards,
        guards_for=task.guards_for,
    )


def _spans_of(spans: Sequence[SaidSpan]) -> str:
    return written_spans((each.start, each.end, each.label) for each in spans)


async def feedback(call: Call) -> Reply:
    """Keeps what somebody says about an answer; the same again changes nothing."""
    request = await call.read(_read_feedback)
    said = Said(
        trace=request.trace_id,
        label=_written(request.label) if request.spans is None else _spans_of(request.spans),
        rating=request.rating,
        comment=request.comment,
        text=request.text,
    )
    record, new = await call.gate.feedback(call.caller, said)
    receipt = FeedbackReceipt(
        id=record.id,
        trace_id=record.trace,
        task=record.task,
        release=record.release,
        label=record.label,
        rating=record.rating,
        comment=record.comment,
    )
    return as_json(receipt, 201 if new else 200)


def _written(label: str | list[str] | float | None) -> str | None:
    """What was said to be right, as the truth of an example is written."""
    return label if label is None or isinstance(label, str) else msgspec.json.encode(label).decode()


async def live(call: Call) -> Reply:
    """Whether the process answers at all."""
    del call
    return as_json(Health(status="ok"))


async def ready(call: Call) -> Reply:
    """Whether traffic should come here now."""
    reason = call.gate.unready()
    if reason is not None:
        return as_json(Health(status="unready", reason=reason), 503)
    problems = call.gate.service.problems()
    return as_json(Health(status="ok", problems=dict(islice(problems.items(), MOST_PROBLEMS))))


async def metrics(call: Call) -> Reply:
    """What is measured, as Prometheus reads it."""
    body, content_type = await call.gate.telemetry.render()
    return Reply(body=body, content_type=content_type.encode())


_ASKING = {
    "X-Request-Timeout": "Seconds after which nobody waits for the answer any more.",
    "X-Request-ID": "Id of the request; echoed, and kept with the traces.",
    "traceparent": "Trace that the request belongs to (W3C Trace Context).",
}
_PREDICTING: dict[str, Any] = {
    "X-Milepost-Release": "Number of the release that must answer.",
    "X-Milepost-Subject": "As the field subject, which goes before it.",
    **_ASKING,
}

ROUTES = (
    Route(
        method="POST",
        path="/v1/tasks/{task}/predict",
        handler=predict,
        right="ask",
        summary="Ask a task about one or many inputs.",
        body=PredictRequest,
        answer=Answers,
        headers=_PREDICTING,
    ),
    Route(
        method="GET",
        path="/v1/tasks",
        handler=list_tasks,
        right="ask",
        summary="List the tasks that the key may ask.",
        answer=TaskList,
    ),
    Route(
        method="GET",
        path="/v1/tasks/{task}",
        handler=one_task,
        right="ask",
        summary="See one task: its labels, releases and guards.",
        answer=TaskInfo,
    ),
    Route(
        method="POST",
        path="/v1/feedback",
        handler=feedback,
        right="ask",
        summary="Say which label would have been right, or how useful an answer was.",
        body=FeedbackRequest,
        answer=FeedbackReceipt,
        statuses={201: "Kept.", 200: "It was said before; nothing changed."},
    ),
    Route(
        method="GET",
        path="/health/live",
        handler=live,
        right="open",
        summary="See whether the process answers.",
        tag="health",
        answer=Health,
    ),
    Route(
        method="GET",
        path="/health/ready",
        handler=ready,
        right="open",
        summary="See whether traffic should come here.",
        tag="health",
        answer=Health,
        statuses={200: "It should.", 503: "It should not; the reason is told."},
    ),
    Route(
        method="GET",
        path="/metrics",
        handler=metrics,
        right="watch",
        summary="Read what is measured, as Prometheus does.",
        tag="health",
        content_type="text/plain",
    ),
)
"""The native rows of the table of routes."""
