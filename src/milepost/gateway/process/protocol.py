"""HTTP connections that cannot hold a worker up: slow heads, slow bodies, readers that stop.

uvicorn's protocol with limits. Times are counted by one sweep over all connections per second, so
that a request pays nothing for them.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from milepost._base.limits import Limits
from milepost.gateway.call import STREAMS
from milepost.gateway.errors import RefusedError, refusal

IDLE, HEAD, BODY, ANSWER = range(4)
"""What a connection waits for: a request, the rest of its head, of its body, an answer."""

TICK = 1.0
"""Seconds between two sweeps."""

GRACE_BYTES = 512 * 1024
BYTES_PER_TICK = 64 * 1024
"""A body may take ``body_seconds`` for the first bytes, and a second for each of these more."""

DRAINED_PER_TICK = 1024
"""Bytes per second that a client must take of an answer."""

EVICTED = 64
"""Connections that are closed at once where there are too many, so that it is rarely looked for."""


class LimitedProtocol(HttpToolsProtocol):
    """One connection; all methods are called on the event loop.

    Args:
        config: uvicorn's.
        server_state: uvicorn's; holds all connections of the worker.
        app_state: uvicorn's.
        limits: How long and how much.
        _loop: The event loop.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        limits: Limits,
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.limits = limits
        self.phase: int = HEAD
        self.ticks: int = 0
        self.head_bytes = 0
        self.body_bytes = 0
        self.unsent = 0
        self.stalled = 0
        self.refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        if self.refused:
            return
        if self.phase <= HEAD:
            self.head_bytes += len(data)
        super().data_received(data)
        if self.phase == HEAD and self.head_bytes > self.limits.header_bytes:
            self._refuse_head()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self.phase = HEAD
        self.ticks = 0

    def on_headers_complete(self) -> None:
        """The head is there."""
        if self.refused or self._too_long():
            return
        self.phase = BODY
        self.ticks = self.head_bytes = self.body_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body is there."""
        if not self.refused:
            self.body_bytes += len(body)
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The body is there."""
        if self.refused:
            return
        super().on_message_complete()
        self.ticks = 0
        self.phase = IDLE if self.cycle.response_complete else ANSWER

    def on_response_complete(self) -> None:
        """The answer is given."""
        super().on_response_complete()
        if self.phase == ANSWER:
            self.phase = IDLE
            self.ticks = 0

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP in the shape of all errors."""
        del msg
        self.cut(
            RefusedError(
                400, "not_http", "this is not a valid HTTP/1.1 request.", advice="See RFC 9112."
            )
        )

    def tick(self) -> None:
        """A second has passed: cut the connection if it has waited too long."""
        if self._stalls():
            self.transport.abort()
            return
        if self.phase == ANSWER or (self.phase == BODY and self.flow.read_paused):
            return
        if self.phase == BODY and self.body_bytes and STREAMS in self.scope:
            self.ticks = self.body_bytes = 0
        self.ticks += 1
        if self.ticks <= self._patience():
            return
        if self.phase == HEAD and self.head_bytes:
            self.cut(_late("the head of this request", self.limits.header_seconds))
        elif self.phase == BODY:
            self.cut(_late("the body of this request", self._patience()))
        else:
            self.transport.close()

    def cut(self, error: RefusedError) -> None:
        """Say what is wrong, unless an answer has begun, and close the connection."""
        self.refused = True
        if self.transport.is_closing():
            return
        begun = self.cycle is not None and not self.cycle.response_complete  # pyright: ignore[reportUnnecessaryComparison] - None before the first request
        if not (begun and self.cycle.response_started):
            answered = refusal(error)
            body = answered.body()
            head = [
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(body)),
                (b"connection", b"close"),
                *answered.headers,
                *self.server_state.default_headers,
            ]
            lines = (b"%b: %b\r\n" % header for header in head)
            self.transport.write(b"".join((STATUS_LINE[answered.status], *lines, b"\r\n", body)))
        self.transport.close()

    def _patience(self) -> float:
        """Ticks after which what it waits for is late."""
        if self.phase == HEAD:
            return self.limits.header_seconds
        if self.phase == IDLE:
            return self.limits.idle_seconds
        if STREAMS in self.scope:
            return self.limits.stall_seconds
        more = max(0, self.body_bytes - GRACE_BYTES)
        return self.limits.body_seconds + more / BYTES_PER_TICK

    def _stalls(self) -> bool:
        """Whether the client has not read its answer on for too long."""
        unsent = self.transport.get_write_buffer_size()
        reads = unsent == 0 or self.unsent - unsent >= DRAINED_PER_TICK
        self.stalled = 0 if reads else self.stalled + 1
        self.unsent = unsent
        return self.stalled > self.limits.stall_seconds

    def _too_long(self) -> bool:
        if self.head_bytes <= self.limits.header_bytes:
            return False
        # What has come may hold a body, or the next request, too.
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size <= self.limits.header_bytes:
            return False
        self._refuse_head()
        return True

    def _refuse_head(self) -> None:
        most = self.limits.header_bytes
        self.cut(
            RefusedError(
                431,
                "head_too_large",
                f"the head of a request may have at most {most:,} bytes.",
                advice="Send fewer or shorter headers.",
            )
        )

    def _make_room(self) -> None:
        """Close those that keep the server waiting longest, else this one."""
        others = (each for each in self.connections if isinstance(each, LimitedProtocol))
        waiting = [each for each in others if each.phase <= HEAD and each is not self]
        # An unfinished head first: a client that has asked before is more likely to ask again.
        waiting.sort(key=_waited, reverse=True)
        for each in waiting[:EVICTED]:
            each.transport.abort()
            self.connections.discard(each)
        if not waiting:
            self.cut(
                RefusedError(
                    503,
                    "too_many_connections",
                    "there are too many connections.",
                    advice="Keep fewer open.",
                    headers=((b"retry-after", b"1"),),
                )
            )


def sweep(connections: Iterable[object]) -> None:
    """Tell all connections that a second has passed."""
    for each in list(connections):
        if isinstance(each, LimitedProtocol):
            each.tick()


def _waited(connection: LimitedProtocol) -> tuple[int, int]:
    """By which those that wait longest are found; what is further on counts as longer."""
    return connection.phase, connection.ticks


def _late(what: str, seconds: float) -> RefusedError:
    return RefusedError(
        408, "too_slow", f"{what} did not arrive within {seconds:.0f} s.", advice="Send it faster."
    )
