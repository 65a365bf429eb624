"""Requests to language models: the answer whole, or as events while the client is there."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Any, Protocol, TypeVar

import numpy as np

from milepost.entities.language import ModelRequest, Piece
from milepost.entities.upstream import Upstream
from milepost.gateway.call import Call, Reply, as_json
from milepost.gateway.errors import RefusedError, refusal
from milepost.gateway.openai.asked import UpstreamChat, question_of, refuse
from milepost.gateway.openai.embeddings import embedded, given_texts
from milepost.gateway.openai.passed import ChatEvents, cache_headers, chat, trace_header
from milepost.gateway.openai.response_wire import ResponsesRequest
from milepost.gateway.openai.responses import ResponseEvents, response_of, response_question
from milepost.gateway.openai.wire import (
    Embeddings,
    EmbeddingsRequest,
    EmbeddingsUsage,
    PromptDetails,
)
from milepost.gateway.reading import Reader
from milepost.models.language.asking import Terms
from milepost.serving.passing.asking import EmbedAsk, PassAsk, Passed

logger = logging.getLogger("milepost.gateway")

T = TypeVar("T")

EVENTS = b"text/event-stream; charset=utf-8"
NO_CACHE = (b"cache-control", b"no-cache")

_read_chat = Reader(UpstreamChat, values=400)
_read_response = Reader(ResponsesRequest, values=400)


class Presence:
    """Breaks off the running task when its client goes away; used in a ``with`` block.

    Nobody pays for the rest of an answer that nobody hears.

    Args:
        call: The request; its body was read.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._task: asyncio.Task[Any] | None = None
        self._watch: asyncio.Task[None] | None = None
        self.gone = False

    def begin(self) -> None:
        """Watch from now on, for the task that runs now."""
        self._task = asyncio.current_task()
        self._watch = asyncio.get_running_loop().create_task(self._call.left())
        self._watch.add_done_callback(self._leave)

    def end(self) -> None:
        """Watch no more."""
        if self._watch is not None:
            self._watch.remove_done_callback(self._leave)
            self._watch.cancel()
            self._watch = None

    def excuse(self) -> None:
        """The task was broken off by this, and goes on to say so."""
        if self._task is not None:
            self._task.uncancel()

    def _leave(self, watch: "asyncio.Task[None]") -> None:
        if not watch.cancelled() and watch.exception() is None and self._task is not None:
            self.gone = True
            self._task.cancel()


class _Events(Protocol):
    """Makes the events of one answer."""

    def piece(self, piece: Piece) -> bytes:
        """Those of a piece."""
        ...

    def end(self, passed: Passed) -> bytes:
        """The last ones."""
        ...

    def failed(self, body: bytes) -> bytes:
        """That of an error."""
        ...


async def pass_chat(call: Call, body: bytes, upstream: Upstream) -> Reply:
    """A language model's answer as a chat completion."""
    request, plain = _read_chat.with_plain(body)
    subject = request.safety_identifier or request.user
    ask = _ask(call, upstream, question_of(request, plain, upstream), subject)
    if request.stream:
        told = request.stream_options is not None and request.stream_options.include_usage
        return await _streamed(call, ask, ChatEvents(request.model, ask.trace_id, told=told))
    passed = await _while_there(call, call.gate.complete(call.caller, ask))
    return _with(as_json(chat(request.model, passed)), passed)


async def pass_response(call: Call, body: bytes, upstream: Upstream) -> Reply:
    """A language model's answer as a response."""
    request, plain = _read_response.with_plain(body)
    question = response_question(request, plain, upstream)
    subject = request.safety_identifier or request.user
    ask = _ask(call, upstream, question, subject, "openai-responses")
    if request.stream:
        return await _streamed(call, ask, ResponseEvents(request, ask.trace_id))
    passed = await _while_there(call, call.gate.complete(call.caller, ask))
    return _with(as_json(response_of(passed, request)), passed)


async def pass_embeddings(call: Call, request: EmbeddingsRequest) -> Reply:
    """Vectors of texts from a language model."""
    if request.dimensions is not None:
        raise refuse("dimensions", "vectors are as the model makes them", "Leave the field out.")
    texts = given_texts(request)
    terms = Terms(
        purpose="pass",
        key=call.caller.key,
        deadline=call.deadline,
        parent=call.header(b"traceparent"),
    )
    ask = EmbedAsk(upstream=request.model, texts=texts, terms=terms)
    vectors, tokens = await _while_there(call, call.gate.embed_upstream(call.caller, ask))
    return as_json(
        Embeddings(
            data=embedded(np.array(vectors, np.float32), request),
            model=request.model,
            usage=EmbeddingsUsage(
                prompt_tokens=tokens.input,
                total_tokens=tokens.input,
                prompt_tokens_details=PromptDetails(cached_tokens=tokens.cached_input),
            ),
        )
    )


def _ask(
    call: Call,
    upstream: Upstream,
    question: ModelRequest,
    subject: str | None,
    protocol: str = "openai",
) -> PassAsk:
    return PassAsk(
        upstream=upstream.name,
        question=question,
        key=call.caller.key,
        subject=subject or call.subject(),
        deadline=call.deadline,
        cache=call.headers.get(b"cache-control", b"").lower() not in (b"no-cache", b"no-store"),
        request=call.request,
        parent=call.header(b"traceparent"),
        protocol=protocol,
    )


def _with(reply: Reply, passed: Passed) -> Reply:
    told = trace_header(passed.trace_id), *cache_headers(passed.completion)
    return Reply(body=reply.body, headers=told)


async def _while_there(call: Call, answer: Awaitable[T]) -> T:
    """What is answered, as long as somebody waits for it.

    Raises:
        RefusedError: If the client has gone away; nobody hears it.
    """
    presence = Presence(call)
    presence.begin()
    try:
        return await answer
    except asyncio.CancelledError:
        if not presence.gone:
            raise
        presence.excuse()
        raise RefusedError(400, "client_gone", "the client went away.") from None
    finally:
        presence.end()


async def _streamed(call: Call, ask: PassAsk, events: _Events) -> Reply:
    """Events as the pieces come. An error before the first one is answered as such."""
    presence = Presence(call)
    presence.begin()
    pieces = call.gate.stream(call.caller, ask)
    try:
        first = await anext(pieces)
    except asyncio.CancelledError:
        presence.end()
        if not presence.gone:
            raise
        presence.excuse()
        raise RefusedError(400, "client_gone", "the client went away.") from None
    except BaseException:
        presence.end()
        raise
    told: tuple[tuple[bytes, bytes], ...] = (NO_CACHE, trace_header(ask.trace_id))
    whole = first.completion if isinstance(first, Passed) else first.whole
    if whole is not None:
        told += cache_headers(whole)
    body = _body(call, presence, (first, pieces), events)
    return Reply(body=body, content_type=EVENTS, headers=told)


async def _body(
    call: Call,
    presence: Presence,
    coming: tuple[Piece | Passed, AsyncGenerator[Piece | Passed]],
    events: _Events,
) -> AsyncGenerator[bytes]:
    """The events; the call ends with whoever reads them."""
    first, pieces = coming
    try:
        async with aclosing(pieces):
            if event := _event(events, first):
                yield event
            async for piece in pieces:
                if event := _event(events, piece):
                    yield event
    except asyncio.CancelledError:
        if not presence.gone:
            raise
        presence.excuse()
    except Exception as error:  # the status is said already, so it is an event
        refused = refusal(error, call.request)
        if refused.unforeseen:
            logger.error("request %s broke off", call.request, exc_info=error)
        yield events.failed(refused.spoken_body())
    finally:
        presence.end()


def _event(events: _Events, piece: Piece | Passed) -> bytes:
    return events.end(piece) if isinstance(piece, Passed) else events.piece(piece)
