"""The routes of the OpenAI API."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import msgspec

from milepost.entities.errors import MilepostError, UnknownNameError
from milepost.entities.serving import Answers
from milepost.entities.upstream import Upstream
from milepost.gateway.call import Call, Reply, as_json
from milepost.gateway.errors import Refusal, RefusedError
from milepost.gateway.openai.chat import chat_events, chat_response, chat_text, chat_top
from milepost.gateway.openai.embeddings import embeddings_response, embeddings_texts
from milepost.gateway.openai.models import (
    PREFIX,
    TaskModel,
    find_model,
    list_models,
    no_model,
    parse_model,
)
from milepost.gateway.openai.moderations import Judge, judges, moderation, moderation_texts
from milepost.gateway.openai.passing import (
    EVENTS,
    NO_CACHE,
    pass_chat,
    pass_embeddings,
    pass_response,
)
from milepost.gateway.openai.response_wire import Response, ResponsesRequest
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

_read_embeddings = Reader(EmbeddingsRequest, values=400)
_read_moderations = Reader(ModerationsRequest, values=400)
_read_chat = Reader(ChatRequest, values=400)
_read_response = Reader(ResponsesRequest, values=400)


async def models(call: Call) -> Reply:
    """All models that the key may ask."""
    return as_json(_models(call))


def _models(call: Call) -> Models:
    gate = call.gate
    return list_models(gate.tasks(call.caller), gate.service.encoder(), gate.upstreams(call.caller))


async def model(call: Call) -> Reply:
    """One model; its id may hold a slash, as it is or percent-encoded."""
    name = "/".join(call.arguments.values())
    return as_json(find_model(name, _models(call)))


async def embeddings(call: Call) -> Reply:
    """Vectors of texts."""
    request = await call.read(_read_embeddings)
    encoder = call.gate.service.encoder()
    if (encoder is None or request.model != encoder.name) and _upstream(call, request.model):
        return await pass_embeddings(call, request)
    texts = embeddings_texts(request, encoder)
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
    """The answer of a task to the last user message, or of a language model."""
    body = await call.body()
    name = _named(body)
    if name is not None and (upstream := _upstream(call, name)) is not None:
        return await pass_chat(call, body, upstream)
    request = _read_chat(body)
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
        events = chat_events(request, answers)
        return Reply(body=events, content_type=EVENTS, headers=(NO_CACHE,))
    return as_json(chat_response(request, answers))


async def responses(call: Call) -> Reply:
    """The answer of a language model as a response."""
    body = await call.body()
    name = _named(body)
    upstream = None if name is None else _upstream(call, name)
    if upstream is not None:
        return await pass_response(call, body, upstream)
    request = _read_response(body)
    if parse_model(request.model) is not None:
        _asked(call, request.model)
        raise RefusedError(
            400,
            "unsupported",
            "tasks are asked as chat completions.",
            param="model",
            advice="Send it to /v1/chat/completions.",
        )
    raise no_model(request.model, [each.name for each in call.gate.upstreams(call.caller)])


class _Named(msgspec.Struct):
    """The model of a request, whatever else it holds."""

    model: str


_read_named = msgspec.json.Decoder(_Named).decode


def _named(body: bytes) -> str | None:
    """The model of a request; ``None`` where it must be read with more care."""
    try:
        return _read_named(body).model
    except (msgspec.DecodeError, RecursionError):
        return None


def _upstream(call: Call, name: str) -> Upstream | None:
    """The language model of a name that is no task's, where the caller may ask it."""
    if name.startswith(PREFIX):
        return None
    try:
        return call.gate.upstream(call.caller, name)
    except UnknownNameError:
        return None


def _asked(call: Call, name: str) -> TaskModel:
    asked = parse_model(name)
    if asked is None:
        raise no_model(name, _known(call))
    try:
        call.gate.task(call.caller, asked.task)
    except MilepostError:
        # Told as a model, and without saying whether there is one that this key may not ask.
        raise no_model(name, _known(call)) from None
    return asked


def _known(call: Call) -> list[str]:
    upstreams = [each.name for each in call.gate.upstreams(call.caller)]
    return [PREFIX + task.name for task in call.gate.tasks(call.caller)] + upstreams


_HEADERS = {
    "X-Request-Timeout": "Seconds after which nobody waits for the answer any more.",
    "X-Request-ID": "Id of the request; echoed, and kept with the traces.",
}
_PASSING_HEADERS = {
    "traceparent": "Trace that the request belongs to (W3C Trace Context).",
    "Cache-Control": "no-cache has a language model answer anew, whatever was answered before.",
}
_CHAT_HEADERS = {
    "X-Milepost-Release": "Number of the release that must answer, as milepost/NAME@N says it too.",
    "X-Milepost-Subject": "As safety_identifier, which goes before it.",
    **_PASSING_HEADERS,
    **_HEADERS,
}

ROUTES = (
    Route(
        method="GET",
        path="/v1/models",
        handler=models,
        right="ask",
        summary="List tasks, the encoder and language models as models.",
        tag="openai",
        errors=Refusal.spoken_body,
        answer=Models,
    ),
    Route(
        method="GET",
        path="/v1/models/{model}",
        handler=model,
        right="ask",
        summary="See the encoder or a language model, whose ids hold no slash.",
        tag="openai",
        errors=Refusal.spoken_body,
        answer=Model,
    ),
    Route(
        method="GET",
        path="/v1/models/{owner}/{model}",
        handler=model,
        right="ask",
        summary="See a task as a model: milepost/NAME.",
        tag="openai",
        errors=Refusal.spoken_body,
        answer=Model,
    ),
    Route(
        method="POST",
        path="/v1/embeddings",
        handler=embeddings,
        right="ask",
        summary="Turn texts into vectors.",
        tag="openai",
        errors=Refusal.spoken_body,
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
        errors=Refusal.spoken_body,
        body=ModerationsRequest,
        answer=Moderations,
        headers=_HEADERS,
    ),
    Route(
        method="POST",
        path="/v1/chat/completions",
        handler=chat,
        right="ask",
        summary="Ask a task or a language model, whole or as server-sent events.",
        tag="openai",
        errors=Refusal.spoken_body,
        body=ChatRequest,
        answer=Chat,
        answer_types=("text/event-stream",),
        headers=_CHAT_HEADERS,
    ),
    Route(
        method="POST",
        path="/v1/responses",
        handler=responses,
        right="ask",
        summary="Ask a language model, whole or as server-sent events.",
        tag="openai",
        errors=Refusal.spoken_body,
        body=ResponsesRequest,
        answer=Response,
        answer_types=("text/event-stream",),
        headers={**_HEADERS, **_PASSING_HEADERS},
    ),
)
"""The rows of the OpenAI API in the table of routes."""
