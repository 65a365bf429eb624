"""The ASGI application: finds the route, asks for the key, calls the handler, answers.

Knows neither processes nor sockets; any ASGI server runs it, and any ASGI app mounts it.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from milepost._base.limits import Limits
from milepost._base.settings import Settings
from milepost.entities.errors import MilepostError
from milepost.gateway.access import RIGHTS, Access, Keys, NoKeys, check_local
from milepost.gateway.call import JSON, Call, Receive, Reply, Scope, Send
from milepost.gateway.errors import RefusedError, refusal
from milepost.gateway.gate import Gate, Rooms
from milepost.gateway.rates import Rates
from milepost.gateway.routes import Route, Router
from milepost.gateway.table import ROUTES, errors_at
from milepost.gateway.telemetry import Telemetry
from milepost.serving.asking import Answering

logger = logging.getLogger("milepost.gateway")
access_logger = logging.getLogger("milepost.access")

SKIPPED_BYTES = 1024 * 1024
"""An unread body up to this size is skipped; after a longer one the connection is closed."""

LINGER_SECONDS = 3.0
LINGER_BYTES = 32 * 1024 * 1024
"""How long, and how much of, a body is still taken and thrown away after it was refused. A client
that is cut off while it sends does not see the answer."""

_CLOSE = (b"connection", b"close")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a gateway is opened.

    Attributes:
        insecure: Whether everybody may do everything without a key.
        local: Whether only requests by a name of this machine, and of no other site's page, are
            answered.
        access_log: Whether a line is logged for each request.
        reload_every: Seconds after which changes of channels and keys are seen at the latest, > 0.
        limits: What it takes at most; ``None`` takes what ``milepost.toml`` says.
        threads: Threads that encode; ``None`` takes one per processor.
        rates: File of ``rates.BYTES`` zeros in which several processes count what keys send; -1
            counts for this process alone.
        metrics: Folder in which several processes count what they do; ``None`` counts for this
            one alone.
    """

    insecure: bool = False
    local: bool = False
    access_log: bool = False
    reload_every: float = 0.5
    limits: Limits | None = None
    threads: int | None = None
    rates: int = -1
    metrics: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a gateway answers with, once it is there."""

    gate: Gate
    access: Access
    options: Options


class Gateway:
    """An ASGI application that answers the tasks of a workspace; used on one event loop.

    Args:
        opened: What answers; ``None`` opens the workspace at start-up, else at the first request.
        open_now: Opens the workspace; may take its time and is called in a thread.
        routes: The table of routes.
    """

    def __init__(
        self,
        opened: Opened | None,
        open_now: Callable[[asyncio.AbstractEventLoop], Opened] | None = None,
        routes: tuple[Route, ...] = ROUTES,
    ) -> None:
        self._opened = opened
        self._open_now = open_now
        self._opening = asyncio.Lock()
        self._router = Router(routes)

    async def open(self) -> Opened:
        """What answers; the first call opens the workspace.

        Raises:
            MilepostError: If it cannot be opened.
        """
        async with self._opening:
            if self._opened is None:
                if self._open_now is None:
                    raise RuntimeError("there is nothing to open")
                loop = asyncio.get_running_loop()
                self._opened = await asyncio.to_thread(self._open_now, loop)
        return self._opened

    async def close(self, grace: float) -> None:
        """Take no more, finish what was begun within ``grace`` seconds, flush all records."""
        if self._opened is not None:
            self._opened.gate.draining = True
            await self._opened.gate.service.close(grace)
            self._opened.gate.telemetry.close()

    @asynccontextmanager
    async def lifespan(self, site: object = None) -> AsyncGenerator[None]:
        """From start-up to shutdown, for an application that mounts this one.

        A mounted application is not told when the process ends, and would lose what it has not
        written yet. ``Starlette(..., lifespan=gateway.lifespan)`` tells it.

        Args:
            site: The application that mounts it; not used.

        Raises:
            MilepostError: If the workspace cannot be opened.
        """
        del site
        opened = await self.open()
        try:
            yield
        finally:
            await self.close(opened.gate.limits.grace)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection or event, as ASGI 3 says."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            opened = self._opened or await self.open()
        except MilepostError as error:
            logger.error("the workspace cannot be opened: %s", error)
            await _unopened(send)
            return
        call = Call(scope, receive, opened.gate)
        if root := scope.get("root_path"):
            call.path = call.path.removeprefix(root)
        route: Route | None = None
        telemetry = opened.gate.telemetry
        telemetry.request_started()
        status = 500
        try:
            try:
                if opened.options.local:
                    check_local(call.headers)
                route, call.arguments = self._router.find(call.method, call.path)
                if route.right != "open":
                    call.caller = await opened.access.caller(call.headers.get(b"authorization"))
                    _check_right(call, route)
                reply = await route.handler(call)
            except Exception as error:  # noqa: BLE001 - every error becomes an answer
                reply = _refuse(call, route, error)
            status = reply.status
            await _answer(call, reply, send)
        finally:
            path = "" if route is None else route.path
            seconds = time.monotonic() - call.began
            telemetry.request_finished(path, call.method, status, seconds)
            if opened.options.access_log:
                _log_access(call, status, seconds)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.open()
        except MilepostError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self._opened is not None:
            await self.close(self._opened.gate.limits.grace)
        await send({"type": "lifespan.shutdown.complete"})


def app(
    directory: str | Path | None = None,
    *,
    service: Answering | None = None,
    keys: Keys | None = None,
    options: Options | None = None,
) -> Gateway:
    """An ASGI application that answers the tasks of a workspace, to run or to mount.

    ::

        from starlette.applications import Starlette
        from starlette.routing import Mount
        from milepost.gateway import app

        tasks = app("support")
        site = Starlette(routes=[Mount("/ai", tasks)], lifespan=tasks.lifespan)

    Args:
        directory: Folder of the workspace; ``None`` finds it as the command line does.
        service: What answers instead of a workspace.
        keys: Where keys are looked up instead of the workspace's ledger.
        options: How it is opened.
    """
    chosen = options or Options()
    if service is not None:
        rooms = Rooms(rates=Rates(chosen.rates), telemetry=Telemetry(chosen.metrics))
        gate = Gate(service, chosen.limits or Limits(), Settings().max_text_chars, rooms)
        access = Access(keys or NoKeys(), chosen.reload_every, insecure=chosen.insecure)
        return Gateway(Opened(gate=gate, access=access, options=chosen))

    def open_now(loop: asyncio.AbstractEventLoop) -> Opened:
        # Here, so that a gateway before its own service needs no ledger.
        from milepost.gateway.opening import open_workspace

        return open_workspace(directory, chosen, loop)

    return Gateway(None, open_now)


def _check_right(call: Call, route: Route) -> None:
    if route.right not in call.caller.rights:
        roles = [role for role, rights in RIGHTS.items() if route.right in rights]
        raise RefusedError(
            403,
            "no_right",
            f"this key has not the right to {route.right}, which this needs.",
            advice=f"Ask for a key of one of the roles {', '.join(roles)}.",
        )


def _log_access(call: Call, status: int, seconds: float) -> None:
    """One line; without the query, the headers and whatever else may hold a secret or an input."""
    path = ascii(call.path[:200])[1:-1]
    line = "%s %s %d %.1f ms key=%s request=%s"
    who = call.caller.key or "-"
    access_logger.info(line, call.method, path, status, 1000.0 * seconds, who, call.request)


def _refuse(call: Call, route: Route | None, error: Exception) -> Reply:
    refused = refusal(error, call.request)
    if refused.unforeseen:
        logger.error("request %s failed", call.request, exc_info=error)
    render = errors_at(call.path) if route is None else route.errors
    return Reply(body=render(refused), status=refused.status, headers=refused.headers)


async def _answer(call: Call, reply: Reply, send: Send) -> None:
    body = reply.body
    headers = [
        (b"content-type", reply.content_type),
        (b"x-request-id", call.request.encode("ascii")),
        *reply.headers,
    ]
    if not isinstance(body, bytes):
        # Its request may still be read while it is answered.
        if call.gate.draining:
            headers.append(_CLOSE)
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await _stream(call, body, send)
        return
    lingers = not call.read_all and _unread(call)
    if call.gate.draining or lingers:
        headers.append(_CLOSE)
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": lingers})
    if lingers:
        await _linger(call)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _stream(call: Call, pieces: AsyncIterator[bytes], send: Send) -> None:
    try:
        async with _closing(pieces):
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
    except Exception as error:
        # The status is said already; that the body has no end says the rest.
        logger.error("request %s broke off", call.request, exc_info=error)
        raise
    await send({"type": "http.response.body", "body": b"", "more_body": False})


@asynccontextmanager
async def _closing(pieces: AsyncIterator[bytes]) -> AsyncGenerator[None]:
    """Ends what makes the pieces, also where nobody wants the rest of them."""
    try:
        yield
    finally:
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()


def _unread(call: Call) -> bool:
    """Whether so much of the body is left that the connection is better closed."""
    length = call.headers.get(b"content-length")
    if length is not None:
        return int(length) > SKIPPED_BYTES
    return b"transfer-encoding" in call.headers


async def _linger(call: Call) -> None:
    """Take and throw away what still comes, for a moment (as nginx's lingering_close)."""
    taken, until = 0, time.monotonic() + LINGER_SECONDS
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            async for piece in call.rest():
                taken += len(piece)
                if taken > LINGER_BYTES or time.monotonic() > until:
                    return
    except TimeoutError:
        return


async def _unopened(send: Send) -> None:
    error = RefusedError(
        503, "not_open", "the workspace cannot be opened.", advice="See the server's log."
    )
    body = refusal(error).body()
    headers = [(b"content-type", JSON), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
