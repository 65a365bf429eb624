"""The server: HTTP/1.1 as far as clients of language models use it, and its faults.

Written on bare streams, because no web framework lets a connection be torn down in the middle of
an answer, or an answer be sent byte by byte.
"""

import asyncio
import math
import socket
import struct
import threading
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus

import msgspec

from milepost.entities.errors import UpstreamError
from milepost.models.language.asking import LanguageModel, Terms
from milepost.models.language.inside.fake import Fake, fake_upstream
from milepost.models.language.inside.faults import HUGE_BYTES, Fault
from milepost.testing.upstreams.formats import STATUS, Body, OpenAI, Spoken, usage

MOST_BODY = 32 * 1024 * 1024
MOST_SEEN = 10_000
"""Requests that are remembered."""

BROKEN = b'{"id": "chatcmpl-test", "choices": [{"index": 0, "message": {"role": "assist'
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of no seconds: closing then resets the connection."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that came in; names of headers in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: Body


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that is given as it stands, whatever was asked."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict[str, str])


class _Torn(Exception):  # noqa: N818 - no error: the server does so on purpose
    """The connection is to be torn down now."""


class UpstreamServer:
    """A server on a thread and an event loop of its own. Attributes may be set from any thread.

    Args:
        model: Who answers; a fake where there is none.
        fault: What goes wrong; ``None`` for nothing.
        key: Which key callers must bring (``Authorization: Bearer``, ``x-api-key`` or
            ``x-goog-api-key``); ``None`` for none.
        formats: Further formats beside OpenAI's chats.

    Attributes:
        seen: Requests that came in, oldest first; the last 10,000.
        replies: Given before anybody is asked, each once, in turn.
        connections: How many were opened.
    """

    def __init__(
        self,
        model: LanguageModel | None = None,
        *,
        fault: Fault | None = None,
        key: str | None = None,
        formats: Sequence[Spoken] = (),
    ) -> None:
        self.model: LanguageModel = model or Fake(fake_upstream())
        self.fault = fault
        self.key = key
        self.seen: deque[Seen] = deque(maxlen=MOST_SEEN)
        self.replies: deque[Reply] = deque()
        self.connections = 0
        self.calls = 0
        self._formats: tuple[Spoken, ...] = (*formats, OpenAI())
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.Task[None]] = set()
        self._address: tuple[str, int] = ("127.0.0.1", 0)

    @property
    def port(self) -> int:
        """On which it listens."""
        return self._address[1]

    @property
    def origin(self) -> str:
        """``http://HOST:PORT``."""
        return f"http://{self._address[0]}:{self._address[1]}"

    @property
    def base_url(self) -> str:
        """Of OpenAI's format: ``http://HOST:PORT/v1``."""
        return f"{self.origin}/v1"

    def run(self, port: int = 0, started: threading.Event | None = None) -> None:
        """Serves until ``close`` is called. Blocks."""
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._connected, "127.0.0.1", port, limit=MOST_BODY, backlog=1024)
        )
        self._address = server.sockets[0].getsockname()[:2]
        if started is not None:
            started.set()
        try:
            self._loop.run_forever()
        finally:
            server.close()
            for task in self._open:
                task.cancel()
            waiting = asyncio.gather(*self._open, return_exceptions=True)
            self._loop.run_until_complete(waiting)
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def close(self) -> None:
        """Ends it, and every connection with it; any thread."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._loop.stop)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        self._open.add(task)
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except _Torn:
            found: socket.socket | None = writer.get_extra_info("socket")
            if found is not None:
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._open.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answers one request; whether the connection stays open for another one."""
        seen = await _read(reader)
        if seen is None:
            return False
        self.seen.append(seen)
        number, self.calls = self.calls, self.calls + 1
        if self.replies:
            _send(writer, self.replies.popleft())
            await writer.drain()
            return True
        fault = self.fault if self.fault is not None and self.fault.hits(number) else None
        wire = _Wire(writer, fault)
        await wire.before()
        await self._answer(seen, wire)
        return wire.stays

    async def _answer(self, seen: Seen, wire: "_Wire") -> None:
        spoken = next((f for f in self._formats if f.serves(seen.path)), None)
        terms = Terms()
        try:
            if self.key is not None and self.key not in _keys(seen):
                raise UpstreamError("bad_key", "this key is not known.")
            if seen.path.endswith("/models"):
                return await wire.whole(200, {"object": "list", "data": [{"id": "fake"}]})
            if seen.path.endswith("/embeddings"):
                return await wire.whole(200, await self._embedded(seen.body, terms))
            if spoken is None:
                raise UpstreamError("not_found", f"there is nothing at {seen.path}.")
            try:
                request = spoken.request(seen.path, seen.body)
            except ValueError as error:
                raise UpstreamError("bad_request", str(error)) from None
            if spoken.streams(seen.path, seen.body):
                pieces = self.model.stream(request, terms)
                # Errors that come before the first piece still have a status of their own.
                first = await anext(pieces)
                wire.begin(spoken.begin(seen.body) + spoken.events(first, seen.body))
                async for piece in pieces:
                    await wire.more(spoken.events(piece, seen.body))
                return await wire.end()
            completion = await self.model.complete(request, terms)
            return await wire.whole(200, spoken.answer(completion, seen.body))
        except UpstreamError as error:
            status = STATUS.get(error.outcome, 500)
            body = (spoken or self._formats[-1]).error(status, error)
            return await wire.whole(status, body, error.retry_after)

    async def _embedded(self, body: Body, terms: Terms) -> Body:
        texts = [body["input"]] if isinstance(body["input"], str) else list(body["input"])
        vectors, tokens = await self.model.embed(texts, terms)
        data = [
            {"object": "embedding", "index": n, "embedding": vector}
            for n, vector in enumerate(vectors)
        ]
        return {
            "object": "list", "model": body.get("model"), "data": data, "usage": usage(tokens),
        }  # fmt: skip


class _Wire:
    """What goes out on a connection, with what goes wrong on the way."""

    def __init__(self, writer: asyncio.StreamWriter, fault: Fault | None) -> None:
        self._writer = writer
        self._fault = fault
        self._kind = fault.kind if fault else ""
        self._sent = 0
        self.stays = True

    async def before(self) -> None:
        """What goes wrong before anything is answered."""
        if self._kind == "hang":
            await asyncio.Event().wait()
        if self._kind in ("reset", "unreachable"):
            raise _Torn

    async def whole(self, status: int, body: Body, retry_after: float | None = None) -> None:
        """A whole answer."""
        data = msgspec.json.encode(body)
        headers = {"retry-after": f"{math.ceil(retry_after)}"} if retry_after is not None else {}
        fault = self._fault
        if fault is not None and self._kind == "storm":
            status, data = 429, b'{"error": {"message": "too many requests", "code": "storm"}}'
            if fault.retry_after is not None:
                headers["retry-after"] = f"{fault.retry_after:g}"
        elif self._kind == "server_error":
            status, data = 500, b'{"error": {"message": "it broke", "code": "internal"}}'
        elif self._kind == "wrong_json":
            data = BROKEN
        elif self._kind == "huge":
            text = b'"' + b"x" * HUGE_BYTES + b'"'
            data = data.replace(b'"content":null', b'"content":' + text)
            data = b'{"padding":' + text + b"," + data[1:]
        reply = Reply(status, data, headers)
        if self._kind == "half":
            _send(self._writer, reply, until=len(data) // 2)
            self.stays = False
        elif fault is not None and self._kind == "slow":
            _send(self._writer, reply, until=0)
            for place in range(len(data)):
                self._writer.write(data[place : place + 1])
                await self._writer.drain()
                await asyncio.sleep(fault.pause)
        else:
            _send(self._writer, reply)
        await self._writer.drain()

    def begin(self, data: bytes) -> None:
        """The head of a stream and what comes with it."""
        if self._kind in ("storm", "server_error"):
            return
        self._writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        if self._kind == "wrong_json":
            data = b"data: " + BROKEN + b"\n\n"
        self._chunk(data)

    async def more(self, data: bytes) -> None:
        """The next piece of a stream."""
        if self._kind in ("storm", "server_error"):
            return
        self._sent += 1
        if self._kind == "half" and self._sent > 1:
            return
        if self._fault is not None and self._kind == "slow":
            for place in range(len(data)):
                self._chunk(data[place : place + 1])
                await self._writer.drain()
                await asyncio.sleep(self._fault.pause)
            return
        self._chunk(data)
        await self._writer.drain()

    async def end(self) -> None:
        """The end of a stream."""
        if self._kind in ("storm", "server_error"):
            return await self.whole(200, {})
        if self._kind == "half":
            self.stays = False
            return await self._writer.drain()
        if self._kind == "huge":
            for _ in range(HUGE_BYTES // 65_536 + 1):
                self._chunk(b": " + b"x" * 65_536 + b"\n\n")
                await self._writer.drain()
        self._writer.write(b"0\r\n\r\n")
        return await self._writer.drain()

    def _chunk(self, data: bytes) -> None:
        if data:
            self._writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


async def _read(reader: asyncio.StreamReader) -> Seen | None:
    """The next request of a connection; ``None`` where it was closed instead."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if name:
            headers[name.strip().lower()] = value.strip()
    data = await reader.readexactly(min(int(headers.get("content-length", 0)), MOST_BODY))
    try:
        body = msgspec.json.decode(data, type=dict) if data else {}
    except (msgspec.DecodeError, ValueError):
        body = {}
    return Seen(method, path.partition("?")[0], headers, body)


def _send(writer: asyncio.StreamWriter, reply: Reply, until: int | None = None) -> None:
    """Writes an answer, or its beginning with the length of the whole."""
    head = [f"HTTP/1.1 {reply.status} {_phrase(reply.status)}"]
    headers = {"content-type": "application/json", **reply.headers}
    headers["content-length"] = str(len(reply.body))
    head += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + reply.body[:until])


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _keys(seen: Seen) -> set[str]:
    bearer = seen.headers.get("authorization", "").removeprefix("Bearer ")
    return {bearer, seen.headers.get("x-api-key", ""), seen.headers.get("x-goog-api-key", "")}


@contextmanager
def serving(
    model: LanguageModel | None = None,
    *,
    fault: Fault | None = None,
    key: str | None = None,
    formats: Sequence[Spoken] = (),
    port: int = 0,
) -> Generator[UpstreamServer]:
    """A server on a thread of its own, for as long as the block lasts."""
    server = UpstreamServer(model, fault=fault, key=key, formats=formats)
    started = threading.Event()
    thread = threading.Thread(
        target=server.run, args=(port, started), name="test-upstream", daemon=True
    )
    thread.start()
    if not started.wait(10.0):
        raise RuntimeError("the server of the test did not start")
    try:
        yield server
    finally:
        server.close()
        thread.join(10.0)
