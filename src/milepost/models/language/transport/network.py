"""Sockets as httpcore wants them: opened to addresses that were checked, every wait has an end."""

import asyncio
import os
import ssl
import time
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import httpcore

from milepost.entities.errors import UpstreamError
from milepost.models.language.addresses import Site, addresses

CONNECT = 5.0
"""Seconds for one address to accept a connection, as long as there are others to try."""

BUFFER = 65_536
"""Bytes that a socket holds for a reader; asyncio stops reading at twice as many."""


class Network(httpcore.AsyncNetworkBackend):
    """The sockets of one connection. Belongs to one event loop.

    Attributes:
        deadline: ``time.monotonic()`` by which whatever is waited for has happened or failed.
        sent: Whether anything of the call went out.
        received: Whether anything came back.
        ended: Whether the other side closed the connection.
        socket: What is open, ``None`` before.
    """

    def __init__(self, site: Site, *, proxied: bool) -> None:
        self.deadline = 0.0
        self.sent = self.received = self.ended = False
        self.socket: Socket | None = None
        self._site = site
        self._proxied = proxied

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()

    def late(self, what: str) -> UpstreamError:
        """That the deadline has passed."""
        return UpstreamError("timeout", what, upstream=self._site.upstream, attempts=int(self.sent))

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to a checked address of the site, or to the proxy that the environment names.

        Raises:
            UpstreamError: ``timeout``, ``unreachable`` or ``blocked_address``.
        """
        try:
            async with asyncio.timeout(self.left):
                if self._proxied:
                    return await self._open(host, port)
                return await self._first(await addresses(self._site), port)
        except TimeoutError:
            raise self.late(f"No connection to {self._site.authority} in time.") from None
        except OSError as error:
            number = error.errno or 0
            reason = os.strerror(number) if number > 0 else "it failed"
            what = f"No connection to {self._site.authority}: {reason}."
            raise UpstreamError("unreachable", what, upstream=self._site.upstream) from None

    async def _first(self, found: list[str], port: int) -> "Socket":
        for address in found[:-1]:
            try:
                async with asyncio.timeout(CONNECT):
                    return await self._open(address, port)
            except OSError:
                continue
        return await self._open(found[-1], port)

    async def _open(self, address: str, port: int) -> "Socket":
        reader, writer = await asyncio.open_connection(address, port, limit=BUFFER)
        self.socket = Socket(self, reader, writer)
        return self.socket

    def untrusted(self, error: ssl.SSLError) -> UpstreamError:
        """That TLS could not be agreed on."""
        place = self._site.authority
        what, advice = f"{place} does not speak TLS as it should.", None
        if isinstance(error, ssl.SSLCertVerificationError):
            what = f"The certificate of {place} cannot be verified: {error.verify_message}."
            advice = "SSL_CERT_FILE names a file of authorities to trust."
        return UpstreamError("unreachable", what, upstream=self._site.upstream, advice=advice)

    def reset(self) -> UpstreamError:
        """That the other side broke the connection."""
        if self.received:
            outcome, what = "cut_off", "The connection broke before the answer was whole."
        else:
            outcome, what = "reset", "The connection broke without an answer."
        return UpstreamError(outcome, what, upstream=self._site.upstream, attempts=int(self.sent))


class Socket(httpcore.AsyncNetworkStream):
    """An open socket of a connection; its waits end at the connection's deadline."""

    def __init__(
        self, network: Network, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._network = network
        self._reader = reader
        self._writer = writer
        self._written: list[bytes] = []

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Send what was written, and wait for what comes; empty where the other side closed.

        Raises:
            UpstreamError: ``timeout``, ``reset`` or ``cut_off``.
        """
        network = self._network
        try:
            async with asyncio.timeout(network.left):
                if self._written:
                    await self._flush()
                data = await self._reader.read(max_bytes)
        except TimeoutError:
            waited = "The answer was not whole" if network.received else "No answer"
            raise network.late(f"{waited} in time.") from None
        except OSError:
            raise network.reset() from None
        if data:
            network.received = True
        else:
            network.ended = True
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Keep it until an answer is waited for: head and body then go out as one."""
        if buffer:
            self._written.append(buffer)

    async def _flush(self) -> None:
        self._network.sent = True
        self._writer.write(b"".join(self._written))
        self._written.clear()
        await self._writer.drain()

    async def aclose(self) -> None:
        """Close it without waiting for the other side."""
        self.abort()

    def abort(self) -> None:
        """Close it at once."""
        self._writer.transport.abort()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Agree on TLS with the name that the certificate must carry.

        Raises:
            UpstreamError: ``timeout`` or ``unreachable``.
        """
        network = self._network
        try:
            async with asyncio.timeout(network.left):
                await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        except TimeoutError:
            raise network.late("TLS was not agreed on in time.") from None
        except ssl.SSLError as error:
            raise network.untrusted(error) from None
        except OSError:
            raise network.reset() from None
        return self

    def get_extra_info(self, info: str) -> Any:
        """``is_readable`` tells whether an idle connection was closed by the other side."""
        if info == "is_readable":
            return self._reader.at_eof() or self._writer.transport.is_closing()
        if info == "ssl_object":
            return self._writer.get_extra_info("ssl_object")
        return None


@lru_cache(maxsize=1)
def trust() -> ssl.SSLContext:
    """Authorities of ``SSL_CERT_FILE`` or ``SSL_CERT_DIR``, or else those of certifi."""
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if not file and not folder:
        import certifi

        file = certifi.where()
    context = ssl.create_default_context(cafile=file or None, capath=folder or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
