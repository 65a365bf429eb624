"""A language model behind one endpoint: one attempt for each call, no retries."""

import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import httpcore
import msgspec

from milepost.entities.errors import UpstreamError
from milepost.entities.language import Completion, ModelRequest, Piece, Tokens
from milepost.entities.upstream import Endpoint, Upstream
from milepost.models.language.addresses import Site, site
from milepost.models.language.asking import Terms
from milepost.models.language.secrets import SHARED, STRUCK, Secrets, hidden
from milepost.models.language.transport.connections import Answer, Connections, Sent
from milepost.models.language.wires import WIRES
from milepost.models.language.wires.base import (
    REFUSABLE,
    Body,
    Events,
    Header,
    Wire,
    listed,
    malformed,
)
from milepost.models.language.wires.failures import failed, objection

END = 0.25
"""Seconds that a stream may stay open after its last event for its connection to be kept."""

HEADERS: tuple[Header, ...] = (
    (b"User-Agent", b"milepost"),
    (b"Accept", b"application/json, text/event-stream"),
    (b"Accept-Encoding", b"identity"),
    (b"Content-Type", b"application/json"),
)
"""Of every call. Nothing is compressed, so that the limit of an answer's size is one of memory."""


class HttpModel:
    """A language model over one endpoint. Used on the event loop of its connections.

    Each call ends by its deadline with an answer or a typed error. Where an endpoint says that it
    does not know a field that can be left out, such as the temperature of a model that thinks, the
    question is put again without it, and so are all later ones.

    Args:
        upstream: Whose endpoint it is.
        endpoint: Where it answers.
        connections: Shared among the models of a process; ``None`` for its own.
        secrets: Reads its key, at each call; ``None`` for its own.
    """

    def __init__(
        self,
        upstream: Upstream,
        endpoint: Endpoint,
        connections: Connections | None = None,
        secrets: Secrets | None = None,
    ) -> None:
        self._upstream = upstream
        self._endpoint = endpoint
        self._connections = connections or Connections()
        self._owned = connections is None
        self._secrets = secrets or Secrets()
        self._wire: Wire = WIRES[upstream.wire]
        self._refused: frozenset[str] = frozenset()
        self._site: Site | None = None
        self._head: tuple[str | None, list[Header]] | None = None
        self._urls: dict[str, httpcore.URL] = {}

    @property
    def upstream(self) -> Upstream:
        """Where it is and what it costs."""
        return self._upstream

    @property
    def endpoint(self) -> Endpoint:
        """The one endpoint that is called."""
        return self._endpoint

    async def complete(self, request: ModelRequest, terms: Terms) -> Completion:
        """The whole answer.

        Raises:
            UpstreamError: However it failed.
        """
        began = time.monotonic()
        key = self._key()
        try:
            answer, attempts = await self._asked(request, terms, key, stream=False)
            completion = self._wire.answered(_without(await answer.whole(), key))
        except UpstreamError as error:
            raise self._named(error, key) from None
        return self._finished(completion, began, attempts)

    async def stream(self, request: ModelRequest, terms: Terms) -> AsyncIterator[Piece]:
        """The answer as it comes; the last piece holds it whole. Closing it ends the call.

        Raises:
            UpstreamError: However it failed; its cost is that of the tokens told until then.
        """
        began = time.monotonic()
        key = self._key()
        reader = self._wire.reader()
        answer: Answer | None = None
        try:
            answer, attempts = await self._asked(request, terms, key, stream=True)
            if answer.headers.get(b"content-type", b"").startswith(b"application/json"):
                completion = self._wire.answered(_without(await answer.whole(), key))
                yield _at_once(self._finished(completion, began, attempts))
                return
            async for event in _events(answer):
                piece = reader.read(_without(event, key))
                if piece is not None:
                    yield piece if reader.tokens is None else _telling(piece, reader.tokens)
                if reader.ended:
                    break
            if not reader.complete:
                raise UpstreamError("cut_off", "The stream ended before the answer.", attempts=1)
            whole = self._finished(reader.whole(), began, attempts)
            yield Piece(tokens=reader.tokens, whole=whole)
            await _rest(answer)
        except UpstreamError as error:
            raise self._named(error, key, reader.tokens) from None
        finally:
            if answer is not None:
                await answer.release()

    async def embed(self, texts: Sequence[str], terms: Terms) -> tuple[list[list[float]], Tokens]:
        """Vectors of texts, in their order.

        Raises:
            UpstreamError: However it failed.
        """
        key = self._key()
        try:
            body = self._wire.embedding(self._upstream.model, texts)
            content = await self._content(body, terms, key)
            return self._wire.embedded(content, len(texts))
        except UpstreamError as error:
            raise self._named(error, key) from None

    async def models(self, terms: Terms) -> list[str]:
        """Names of the models that the endpoint lists, which costs nothing.

        Raises:
            UpstreamError: However it failed; ``not_found`` where it has no such list.
        """
        key = self._key()
        try:
            return listed(await self._content(Body(self._wire.listing(), b""), terms, key))
        except UpstreamError as error:
            raise self._named(error, key) from None

    async def close(self) -> None:
        """Let go of its own connections; shared ones belong to whoever made them."""
        if self._owned:
            await self._connections.close()

    def __repr__(self) -> str:
        return f"HttpModel({self._upstream.name!r}, {self._endpoint.base_url!r})"

    def _key(self) -> str | None:
        reference = self._endpoint.key
        if reference is None:
            return None
        return self._secrets.read(reference, upstream=self._upstream.name)

    async def _asked(
        self, request: ModelRequest, terms: Terms, key: str | None, *, stream: bool
    ) -> tuple[Answer, int]:
        """An answer with status 200, and how often the question was put."""
        attempts = 0
        while True:
            refused = self._refused
            body = self._wire.asking(self._upstream.model, request, stream=stream, refused=refused)
            attempts += 1
            answer = await self._sent(body, terms, key)
            if answer.status == 200:
                return answer, attempts
            content = await answer.whole()
            field = None
            if answer.status in (400, 422):
                field = objection(content, REFUSABLE - refused)
            if field is None or attempts > len(REFUSABLE):
                error = failed(answer.status, answer.headers, content)
                error.attempts = attempts
                raise error
            self._refused = self._refused | {field}

    async def _content(self, body: Body, terms: Terms, key: str | None) -> bytes:
        answer = await self._sent(body, terms, key)
        content = await answer.whole()
        if answer.status != 200:
            raise failed(answer.status, answer.headers, content)
        return content

    async def _sent(self, body: Body, terms: Terms, key: str | None) -> Answer:
        if self._site is None:
            self._site = site(self._upstream.name, self._endpoint)
        if self._head is None or self._head[0] != key:
            common = [(b"Host", self._site.authority.encode()), *HEADERS]
            self._head = (key, [*common, *self._wire.headers(key)])
        headers = self._head[1]
        if terms.parent is not None:
            headers = [*headers, (b"traceparent", terms.parent.encode("latin-1", "replace"))]
        deadline = terms.deadline
        if deadline is None:
            deadline = time.monotonic() + self._upstream.timeout_s
        sent = Sent(self._site, self._url(self._site, body.path), headers, body.content)
        answer = await self._connections.send(sent, deadline)
        if answer.headers.get(b"content-encoding", b"identity").lower() != b"identity":
            await answer.release()
            raise malformed("The answer is compressed, which it was asked not to be.")
        return answer

    def _url(self, where: Site, path: str) -> httpcore.URL:
        url = self._urls.get(path)
        if url is None:
            target = where.path + path
            if where.query:
                target += ("&" if "?" in target else "?") + where.query
            scheme = b"https" if where.secure else b"http"
            url = httpcore.URL(
                scheme=scheme, host=where.host.encode(), port=where.port, target=target.encode()
            )
            self._urls[path] = url
        return url

    def _finished(self, completion: Completion, began: float, attempts: int) -> Completion:
        return msgspec.structs.replace(
            completion,
            upstream=self._upstream.name,
            region=self._endpoint.region,
            micro_usd=self._cost(completion.tokens),
            attempts=attempts,
            seconds=time.monotonic() - began,
        )

    def _cost(self, tokens: Tokens) -> int:
        price = self._upstream.price(datetime.now(UTC).date())
        return 0 if price is None else price.cost(tokens)

    def _named(
        self, error: UpstreamError, key: str | None, tokens: Tokens | None = None
    ) -> UpstreamError:
        """The same error with the upstream's name and what it cost, and without the key."""
        return UpstreamError(
            error.outcome,
            hidden(error.what, key),
            upstream=self._upstream.name,
            advice=None if error.advice is None else hidden(error.advice, key),
            retry_after=error.retry_after,
            micro_usd=0 if tokens is None else self._cost(tokens),
            attempts=error.attempts,
        )


async def _events(answer: Answer) -> AsyncIterator[bytes]:
    """Server-sent events as they come."""
    events = Events()
    while part := await answer.some():
        for event in events.feed(part):
            yield event
    for event in events.rest():
        yield event


async def _rest(answer: Answer) -> None:
    """Wait a moment for the end of a stream whose answer is whole, to keep its connection."""
    answer.soon(END)
    try:
        while await answer.some():
            pass
    except UpstreamError:
        # The answer is there; the connection is closed instead of kept.
        return


def _at_once(completion: Completion) -> Piece:
    """A whole answer in one piece, from servers that do not stream."""
    return Piece(
        text=completion.text,
        tool_calls=completion.tool_calls,
        logprobs=completion.logprobs,
        tokens=completion.tokens,
        whole=completion,
    )


def _telling(piece: Piece, tokens: Tokens) -> Piece:
    return msgspec.structs.replace(piece, tokens=tokens)


def _without(content: bytes, key: str | None) -> bytes:
    """What came back without the key, should a server repeat the headers that it was sent."""
    if key is None or len(key) < SHARED:
        return content
    struck = key.encode()
    return content.replace(struck, STRUCK.encode()) if struck in content else content
