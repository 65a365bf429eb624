"""Connections by site: kept alive and shared by calls in turn; httpcore speaks HTTP over them.

httpcore is what httpx stands on. Each connection has a network of its own here, through which the
checked address, the deadline and the limit of an answer's size hold.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.request import getproxies, proxy_bypass

import httpcore

from milepost.entities.errors import UpstreamError
from milepost.entities.model_calls import Outcome
from milepost.models.language.addresses import Site
from milepost.models.language.transport.network import Network, trust

MOST = 10_000_000
"""Bytes of an answer at most, streamed ones included."""

KEPT = 256
"""Idle connections per site at most."""

IDLE = 30.0
"""Seconds that an idle connection is kept."""

# Asked to debug, httpcore logs the headers of answers, and a provider may repeat a key in one.
for _name in ("httpcore.connection", "httpcore.http11", "httpcore.proxy"):
    logging.getLogger(_name).setLevel(logging.INFO)

Header = tuple[bytes, bytes]
Origin = tuple[str, int, bool, bool]


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it goes out.

    Attributes:
        site: Where to.
        url: Address of the resource.
        headers: All but ``Content-Length``.
        body: JSON; empty for a ``GET``.
    """

    site: Site
    url: httpcore.URL
    headers: Sequence[Header]
    body: bytes


class Connections:
    """Kept-alive connections by site. Belongs to one event loop, where everything runs.

    Does not bound how many are open: whoever calls bounds how many calls are made at once.
    """

    def __init__(self) -> None:
        self._idle: dict[Origin, deque[Line]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweeping: asyncio.TimerHandle | None = None

    async def send(self, sent: Sent, deadline: float) -> "Answer":
        """Send a request and wait for the status and headers of its answer.

        Args:
            sent: The request.
            deadline: ``time.monotonic()`` by which the answer must be whole.

        Raises:
            UpstreamError: ``timeout``, ``unreachable``, ``reset``, ``malformed`` or
                ``blocked_address``; its ``attempts`` is 1 where something was sent.
        """
        self._here()
        if sent.site.secure and not trust.cache_info().currsize:
            # Reading all authorities takes the loop's time, once in a process.
            await asyncio.to_thread(trust)
        line = self._take(sent.site)
        network = line.network
        network.deadline = deadline
        network.sent = network.received = network.ended = False
        length = (b"Content-Length", b"%d" % len(sent.body))
        request = httpcore.Request(
            b"POST" if sent.body else b"GET",
            sent.url,
            headers=[*sent.headers, length],
            content=sent.body,
        )
        try:
            response = await line.speaker.handle_async_request(request)
        except BaseException as error:
            line.abort()
            if isinstance(error, httpcore.ProxyError | httpcore.ProtocolError):
                raise _named(error, line) from None
            raise
        return Answer(self, line, response)

    def give(self, line: "Line") -> None:
        """Keep a connection whose answer was read to its end."""
        if not line.reusable:
            line.abort()
            return
        kept = self._idle.setdefault(line.origin, deque())
        if len(kept) == KEPT:
            kept.popleft().abort()
        line.idle_since = time.monotonic()
        kept.append(line)
        if self._sweeping is None and self._loop is not None:
            self._sweeping = self._loop.call_later(IDLE, self._sweep)

    async def close(self) -> None:
        """Close what is idle; calls that are under way end as they would."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        for kept in self._idle.values():
            for line in kept:
                line.abort()
        self._idle.clear()
        # Transports say that they are closed in the loop's next round.
        await asyncio.sleep(0)

    def _here(self) -> None:
        """Forget connections of an event loop that was left, by code that calls ``run`` again."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._idle.clear()
            self._loop, self._sweeping = loop, None

    def _take(self, site: Site) -> "Line":
        kept = self._idle.get(_origin(site))
        while kept:
            # The last one given back: the others grow old and are closed.
            line = kept.pop()
            if line.reusable:
                return line
            line.abort()
        return Line(site)

    def _sweep(self) -> None:
        self._sweeping = None
        oldest = time.monotonic() - IDLE
        for place, kept in list(self._idle.items()):
            while kept and (not kept[0].reusable or kept[0].idle_since <= oldest):
                kept.popleft().abort()
            if not kept:
                del self._idle[place]
        if self._idle and self._loop is not None:
            self._sweeping = self._loop.call_later(IDLE, self._sweep)


class Line:
    """One connection, which carries one call at a time."""

    def __init__(self, site: Site) -> None:
        proxy = proxy_for(site)
        self.site = site
        self.origin = _origin(site)
        self.idle_since = 0.0
        self.network = Network(site, proxied=proxy is not None)
        self.speaker: httpcore.AsyncHTTPConnection | httpcore.AsyncHTTPProxy
        if proxy is None:
            scheme = b"https" if site.secure else b"http"
            self.speaker = httpcore.AsyncHTTPConnection(
                httpcore.Origin(scheme, site.host.encode(), site.port),
                ssl_context=trust() if site.secure else None,
                network_backend=self.network,
            )
        else:
            self.speaker = httpcore.AsyncHTTPProxy(
                proxy, ssl_context=trust(), max_connections=1, network_backend=self.network
            )

    @property
    def reusable(self) -> bool:
        """Whether another call can be made over it."""
        speaker = self.speaker
        if isinstance(speaker, httpcore.AsyncHTTPProxy):
            return True
        return speaker.is_idle() and not speaker.has_expired()

    def abort(self) -> None:
        """Close it at once."""
        if self.network.socket is not None:
            self.network.socket.abort()


class Answer:
    """An answer whose status and headers are there; whoever reads its body releases it after.

    Attributes:
        status: HTTP status.
        headers: Names in lower case; of repeated ones the last.
    """

    def __init__(self, connections: Connections, line: Line, response: httpcore.Response) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.headers}
        self._connections = connections
        self._line = line
        self._response = response
        self._parts = response.aiter_stream()
        self._size = 0
        self._ended = self._released = False

    async def whole(self) -> bytes:
        """The body; it is released then, whatever happens.

        Raises:
            UpstreamError: ``timeout``, ``cut_off``, ``malformed`` or ``too_large``.
        """
        parts: list[bytes] = []
        try:
            while part := await self.some():
                parts.append(part)
        finally:
            await self.release()
        return b"".join(parts)

    async def some(self) -> bytes:
        """What comes next of the body; empty at its end.

        Raises:
            UpstreamError: As ``whole``.
        """
        length = self.headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > MOST:
            raise self._too_large()
        try:
            async for part in self._parts:
                self._size += len(part)
                if self._size > MOST:
                    raise self._too_large()
                if part:
                    return part
        except httpcore.ProtocolError as error:
            raise _named(error, self._line) from None
        self._ended = True
        return b""

    async def release(self) -> None:
        """Keep the connection where the body was read to its end, else close it; once."""
        if self._released:
            return
        self._released = True
        if not self._ended:
            self._line.abort()
        await self._response.aclose()
        if self._ended:
            self._connections.give(self._line)

    def soon(self, seconds: float) -> None:
        """Bring the deadline forward, for the rest of a body that holds nothing more."""
        network = self._line.network
        network.deadline = min(network.deadline, time.monotonic() + seconds)

    def _too_large(self) -> UpstreamError:
        what = f"The answer is longer than {MOST:,} bytes, and was given up."
        return UpstreamError("too_large", what, upstream=self._line.site.upstream, attempts=1)


def proxy_for(site: Site) -> str | None:
    """The proxy that ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` say."""
    proxies = getproxies()
    if not proxies or proxy_bypass(site.authority):
        return None
    found = proxies.get("https" if site.secure else "http") or proxies.get("all")
    if not found:
        return None
    return found if "://" in found else f"http://{found}"


def _origin(site: Site) -> Origin:
    """What connections may be shared for: a private site's never serve one that must be public."""
    return (site.host, site.port, site.secure, site.private)


def _named(error: Exception, line: Line) -> UpstreamError:
    """The typed error of what went wrong while HTTP was spoken."""
    network, site = line.network, line.site
    if isinstance(error, httpcore.ProxyError):
        return UpstreamError(
            "unreachable", "The proxy refuses to connect.", upstream=site.upstream,
            advice="HTTPS_PROXY and NO_PROXY say which proxy is used and for what.",
        )  # fmt: skip
    if network.ended:
        return network.reset()
    outcome: Outcome = "malformed"
    what = "What came back is not HTTP/1.1 as it should be."
    return UpstreamError(outcome, what, upstream=site.upstream, attempts=1)
