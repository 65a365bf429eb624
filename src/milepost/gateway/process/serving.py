"""One worker's connections: taken, swept for those that hold it up, and ended without a loss."""

import asyncio
import contextlib
import resource
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from email.utils import formatdate
from functools import partial

import msgspec
from uvicorn.config import Config
from uvicorn.server import ServerState

from milepost._base.limits import Limits
from milepost.gateway.application import Gateway, Opened
from milepost.gateway.process.protocol import TICK, LimitedProtocol, sweep

SPARE_DESCRIPTORS = 128
"""Files and sockets that are no connections."""

LEAST_FLUSH_SECONDS = 1.0
"""What the service gets to write its records, however much of the grace is gone."""

LAST_SECONDS = 1.0
"""What a client that connected at the last moment, or keeps an idle connection, gets to write into
it once the socket is closed."""

_LOOK = 0.02
"""Seconds between two looks at what is still open while draining."""


class Serving:
    """Serves a gateway on a listening socket; lives on one event loop.

    Args:
        gateway: The application.
        opened: What it answers with.
        listening: The socket; non-blocking. It is closed by :meth:`drain`.
    """

    def __init__(self, gateway: Gateway, opened: Opened, listening: socket.socket) -> None:
        self._gateway = gateway
        self._opened = opened
        self._listening = listening
        self._state = ServerState()
        self._alone = asyncio.Event()
        self._hurried = asyncio.Event()
        self._at_once = asyncio.Event()

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return len(self._state.connections)

    async def start(self) -> None:
        """Take connections from now on."""
        loop = asyncio.get_running_loop()
        self._factory = self._protocols(loop)
        self._server = await loop.create_server(self._factory, sock=self._listening)
        self._sweeping = loop.create_task(self._sweep())

    def take_no_more(self) -> None:
        """Close the socket as soon as it drains: somebody else may need the port."""
        self._alone.set()

    def hurry(self) -> None:
        """Wait for no new and no idle connection while draining."""
        self._alone.set()
        self._hurried.set()

    def give_up(self) -> None:
        """Wait for nothing more while draining."""
        self.hurry()
        self._at_once.set()

    async def drain(self, also: Callable[[float], Awaitable[None]] | None = None) -> None:
        """End without a loss.

        From now on it is not ready, and every answer carries ``Connection: close``. Whoever sends
        traffic here needs a moment to see that, so connections are taken for ``lame_duck`` seconds
        more. Then the socket is closed; a client may be writing into an idle connection at this
        very moment, so those are answered a little longer. What was begun has ``grace`` seconds to
        end, then all records are flushed.

        Args:
            also: Ends another face of the server within the seconds that it is given.
        """
        self._opened.gate.draining = True
        limits = self._opened.gate.limits
        loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limits.lame_duck):
                await self._alone.wait()
        for connection in _pending(self._listening):
            await loop.connect_accepted_socket(self._factory, connection)
        self._server.close()
        other = None if also is None else asyncio.ensure_future(also(limits.grace))
        await self._until(min(limits.lame_duck, LAST_SECONDS), self._hurried, idle_too=True)
        for connection in list(self._state.connections):
            connection.shutdown()
        until = time.monotonic() + limits.grace
        await self._until(limits.grace, self._at_once, idle_too=False)
        grace = 0.0 if self._at_once.is_set() else max(0.0, until - time.monotonic())
        if other is not None:
            await asyncio.wait({other}, timeout=grace)
        await self._gateway.close(max(grace, LEAST_FLUSH_SECONDS))
        self._sweeping.cancel()

    async def _until(self, seconds: float, broken_off: asyncio.Event, *, idle_too: bool) -> None:
        """Until nothing is open any more, at most for so long."""
        until = time.monotonic() + seconds
        while self._state.connections or (self._state.tasks and not idle_too):
            if broken_off.is_set() or time.monotonic() >= until:
                return
            await asyncio.sleep(_LOOK)

    def _protocols(self, loop: asyncio.AbstractEventLoop) -> Callable[[], asyncio.Protocol]:
        limits = self._opened.gate.limits
        config = Config(
            self._gateway,
            interface="asgi3",
            http=LimitedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_keep_alive=max(1, round(limits.idle_seconds)),
        )
        config.load()
        bounded = _within_descriptors(limits)
        return partial(LimitedProtocol, config, self._state, {}, bounded, loop)

    async def _sweep(self) -> None:
        while True:
            date = formatdate(time.time(), usegmt=True).encode()
            self._state.default_headers = [(b"date", date)]
            sweep(self._state.connections)
            await asyncio.sleep(TICK)


def raise_descriptor_limit() -> int:
    """Let this process open as many files as it may; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return soft if soft != resource.RLIM_INFINITY else sys.maxsize


def _within_descriptors(limits: Limits) -> Limits:
    """The limits, with no more connections than this process can have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return limits
    most = max(1, soft - SPARE_DESCRIPTORS)
    return msgspec.structs.replace(limits, connections=min(limits.connections, most))


def _pending(listening: socket.socket) -> Iterator[socket.socket]:
    """Connections that the kernel has taken and nobody has looked at: closing would reset them."""
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listening.accept()
            connection.setblocking(False)  # noqa: FBT003 - socket takes no keywords
            yield connection
