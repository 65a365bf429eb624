"""The routes of the OpenAI API."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import msgspec

from milepost.entities.errors import MilepostError
from milepost.entities.serving import Answers
from milepost.gateway.call import Call, Reply, as_json
from milepost.gateway.errors import ErrorBody, Refusal
from milepost.gateway.openai.chat import chat_events, chat_response, chat_text, chat_top
from milepost.gateway.openai.embeddings import embeddings_response, embeddings_texts
from milepost.gateway.openai.models import (
    PREFIX,
    TaskModel,
    ask_upstream,
    find_model,
    list_models,
    no_model,
    parse_model,
)
from milepost.gateway.openai.moderations import Judge, judges, moderation, moderation_texts
from milepost.gateway.openai.wire import (
    Chat,
    ChatRequest,
    Embeddings,
    EmbeddingsRequest,
    Model,
    Models,
    Moderations,
    ModerationsRequest,
)
from milepost.gateway.reading import Reader
from milepost.gateway.routes import Route

_EVENTS = b"text/event-stream; charset=utf-8"
_NO_CACHE = ((b"cache-control", b"no-cache"),)

_read_embeddings = Reader(EmbeddingsRequest, values=400)
_read_moderations = Reader(ModerationsRequest, values=400)
_read_chat = Reader(ChatRequest, values=400)


async def models(call: Call) -> Reply:
    """All models that the key may ask."""
    return as_json(list_models(call.gate.tasks(call.caller), call.gate.service.encoder()))


async def model(call: Call) -> Reply:
    """One model; its id may hold a slash, as it is or percent-encoded."""
    name = "/".join(call.arguments.values())
    return as_json(find_model(name, call.gate.tasks(call.caller), call.gate.service.encoder()))


async def embeddings(call: Call) -> Reply:
    """Vectors of texts."""
    request = await call.read(_read_embeddings)
    texts = embeddings_texts(request, call.gate.service.encoder())
    found = await call.gate.embed(call.caller, texts, call.deadline)
    return as_json(embeddings_response(request, found))


async def moderations(call: Call) -> Reply:
    """What guards say of texts: all guards at once, on one encoder pass."""
    request = await call.read(_read_moderations)
    texts = moderation_texts(request)
    gate = call.gate
    gate.check_texts(texts, "input")
    served = {task.name: task for task in gate.service.tasks()}
    asked = judges(request.model, gate.tasks(call.caller), served)
    answered = await asyncio.gather(*(_judge(call, judge, texts) for judge in asked))
    by_text = zip(*(said.predictions for said in answered), strict=True)
    results = [moderation(list(zip(asked, verdicts, strict=True))) for verdicts in by_text]
    return as_json(
        Moderations(
            id=f"modr-{answered[0].predictions[0].trace_id}",
            model=request.model or "milepost",
            results=tuple(results),
        )
    )


async def _judge(call: Call, judge: Judge, texts: Sequence[str]) -> Answers:
    # A guard's verdicts stand in the answers of the tasks that it guards, so that whoever may ask
    # one of these may have them here too.
    caller = call.caller
    if caller.tasks:
        caller = replace(caller, tasks=caller.tasks | {judge.task.name})
    top = len(judge.task.labels)
    ask = call.ask(judge.task.name, tuple(texts), top=top, protocol="openai")
    return await call.gate.answer(caller, replace(ask, release=judge.release))


async def chat(call: Call) -> Reply:
    """The answer of a task to the last user message."""
    request = await call.read(_read_chat)
    asked = _asked(call, request.model)
    ask = call.ask(
        asked.task,
        (chat_text(request),),
        top=chat_top(request),
        subject=request.safety_identifier or request.user,
        protocol="openai",
    )
    if asked.release is not None:
        ask = replace(ask, release=asked.release)
    answers = await call.gate.answer(call.caller, ask)
    if request.stream:
        return Reply(body=chat_events(request, answers), content_type=_EVENTS, headers=_NO_CACHE)
    return as_json(chat_response(request, answers))


def error_body(refusal: Refusal) -> bytes:
    """An error whose message holds the hint too: OpenAI's clients show nothing else."""
    detail = refusal.detail
    if detail.hint:
        detail = msgspec.structs.replace(detail, message=f"{detail.message} {detail.hint}")
    return msgspec.json.encode(ErrorBody(error=detail))


def _asked(call: Call, name: str) -> TaskModel:
    asked = parse_model(name)
    if asked is None:
        ask_upstream(name, _known(call))
    try:
        call.gate.task(call.caller, asked.task)
    except MilepostError:
        # Told as a model, and without saying whether there is one that this key may not ask.
        raise no_model(name, _known(call)) from None
    return asked


def _known(call: Call) -> list[str]:
    return [PREFIX + task.name for task in call.gate.tasks(call.caller)]


_HEADERS = {
    "X-Request-Timeout": "Seconds after which nobody waits for the answer any more.",
    "X-Request-ID": "Id of the request; echoed, and kept with the traces.",
}
_CHAT_HEADERS = {
    "X-Milepost-Release": "Number of the release that must answer, as milepost/NAME@N says it too.",
    "X-Milepost-Subject": "As safety_identifier, which goes before it.",
    "traceparent": "Trace that the request belongs to (W3C Trace Context).",
    **_HEADERS,
}

ROUTES = (
    Route(
        method="GET",
        path="/v1/models",
        handler=models,
        right="ask",
        summary="List tasks and the encoder as models.",
        tag="openai",
        errors=error_body,
        answer=Models,
    ),
    Route(
        method="GET",
        path="/v1/models/{model}",
        handler=model,
        right="ask",
        summary="See the encoder as a model, or any model whose id holds no slash.",
        tag="openai",
        errors=error_body,
        answer=Model,
    ),
    Route(
        method="GET",
        path="/v1/models/{owner}/{model}",
        handler=model,
        right="ask",
        summary="See a task as a model: milepost/NAME.",
        tag="openai",
        errors=error_body,
        answer=Model,
    ),
    Route(
        method="POST",
        path="/v1/embeddings",
        handler=embeddings,
        right="ask",
        summary="Turn texts into vectors.",
        tag="openai",
        errors=error_body,
        body=EmbeddingsRequest,
        answer=Embeddings,
        headers=_HEADERS,
    ),
    Route(
        method="POST",
        path="/v1/moderations",
        handler=moderations,
        right="ask",
        summary="Hold texts against guards.",
        tag="openai",
        errors=error_body,
        body=ModerationsRequest,
        answer=Moderations,
        headers=_HEADERS,
    ),
    Route(
        method="POST",
        path="/v1/chat/completions",
        handler=chat,
        right="ask",
        summary="Ask a task as a model, whole or as server-sent events.",
        tag="openai",
        errors=error_body,
        body=ChatRequest,
        answer=Chat,
        answer_types=("text/event-stream",),
        headers=_CHAT_HEADERS,
    ),
)
"""The rows of the OpenAI API in the table of routes."""
