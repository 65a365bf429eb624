"""Connections, proxies and certificates, over all wire formats where it makes a difference."""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import msgspec
import pytest
from tests.contract.wires.calls import (
    ANSWER,
    HELLO,
    TOKENS,
    Scripted,
    asked,
    failure,
    opened,
)

from milepost.entities.errors import UpstreamError
from milepost.entities.language import Completion, Piece
from milepost.entities.upstream import Wire
from milepost.models.language.asking import Terms
from milepost.models.language.transport import network
from milepost.testing.upstreams import OpenAI, Reply, UpstreamServer
from milepost.testing.upstreams.anthropic import Anthropic
from milepost.testing.upstreams.gemini import Gemini
from milepost.testing.upstreams.responses import OpenAIResponses


def test_connections_are_kept_and_broken_ones_replaced(wire: Wire, server: UpstreamServer) -> None:
    async def calls() -> None:
        model = opened(wire, server.base_url)
        for _ in range(3):
            await model.complete(HELLO, Terms(parent="00-" + "1" * 32 + "-" + "2" * 16 + "-01"))
            assert [p async for p in model.stream(HELLO, Terms())][-1].whole is not None
        assert server.connections == 1
        async for _piece in model.stream(HELLO, Terms()):
            break  # Whoever leaves a stream ends the call.
        pieces = model.stream(HELLO, Terms())
        await anext(pieces)
        await pieces.aclose()  # type: ignore[attr-defined]
        task = asyncio.create_task(model.complete(HELLO, Terms()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await model.complete(HELLO, Terms())).text == ANSWER.text
        await model.close()

    asyncio.run(calls())
    assert server.connections > 1
    assert server.seen[0].headers["traceparent"].startswith("00-1")


def test_a_server_that_does_not_stream(
    wire: Wire, server: UpstreamServer, scripted: Scripted
) -> None:
    async def calls() -> list[list[Piece]]:
        model = opened(wire, server.base_url)
        formats = {
            "openai": OpenAI(), "openai-responses": OpenAIResponses(), "anthropic": Anthropic(),
            "gemini": Gemini(),
        }  # fmt: skip
        body = msgspec.json.encode(formats[wire].answer(ANSWER, {"model": "m-1"}))
        server.replies.append(Reply(200, body))
        found = [[piece async for piece in model.stream(HELLO, Terms())]]
        # The connection is kept once, not twice.
        both = await asyncio.gather(*(model.complete(HELLO, Terms()) for _ in range(2)))
        assert [completion.text for completion in both] == [ANSWER.text] * 2
        await model.close()
        return found

    ((piece,),) = asyncio.run(calls())
    assert piece.whole is not None
    assert piece.text == piece.whole.text == ANSWER.text
    assert piece.whole.tokens == TOKENS


def test_many_calls_at_once(wire: Wire, server: UpstreamServer) -> None:
    async def calls() -> list[Completion]:
        model = opened(wire, server.base_url)
        found = await asyncio.gather(*(model.complete(HELLO, Terms()) for _ in range(40)))
        found += await asyncio.gather(*(model.complete(HELLO, Terms()) for _ in range(40)))
        await model.close()
        return found

    assert {completion.text for completion in asyncio.run(calls())} == {ANSWER.text}
    assert server.connections <= 40


def test_proxies_of_the_environment_are_used(
    server: UpstreamServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.origin)
    model = opened("openai", "http://models.invalid/v1")
    assert asyncio.run(asked(model)).text == ANSWER.text
    assert server.seen[0].path == "http://models.invalid:80/v1/chat/completions"
    monkeypatch.setenv("no_proxy", "models.invalid")
    error = failure(asked(opened("openai", "http://models.invalid/v1")))
    assert error.outcome == "unreachable"


def test_an_endpoint_that_is_not_there(server: UpstreamServer) -> None:
    port = server.port
    server.close()
    while True:
        error = failure(asked(opened("openai", f"http://127.0.0.1:{port}/v1")))
        if error.outcome == "unreachable":  # The server's thread closes its socket in its own time.
            break
    assert error.attempts == 0
    assert "refused" in str(error)


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def _certificate(folder: Path, name: str) -> tuple[Path, Path]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), 1, now, now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName(name), x509.IPAddress(IPv4Address("127.0.0.9"))]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, private = folder / "cert.pem", folder / "key.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ))  # fmt: skip
    return pem, private


async def _tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A proxy that connects whoever asks, until one of the two leaves."""
    head = await reader.readuntil(b"\r\n\r\n")
    method, target, _ = head.split(b" ", 2)
    assert method == b"CONNECT"
    there, back = await asyncio.open_connection("127.0.0.1", int(target.rpartition(b":")[2]))
    writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")

    async def pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                sink.write(data)
                await sink.drain()
        sink.close()

    await asyncio.gather(pipe(reader, back), pipe(there, writer))


class _Serving:
    """Connections of a server, which have all ended when it is left: none is torn by the loop."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._open: list[asyncio.Task[None]] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.append(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._serve(reader, writer)
        writer.close()

    async def over(self) -> None:
        await asyncio.gather(*self._open)
        await asyncio.sleep(0)


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_certificates_are_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    pem, private = _certificate(tmp_path, "localhost")
    if known:
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    network.trust.cache_clear()
    body = b'{"choices": [{"message": {"content": "Secure."}, "finish_reason": "stop"}]}'
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem, private)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()

    async def calls() -> list[str]:
        answering, tunnelling = _Serving(answer), _Serving(_tunnel)
        secure = await asyncio.start_server(answering, "127.0.0.1", 0, ssl=context)
        port = secure.sockets[0].getsockname()[1]
        found = []
        for host in ("localhost", "127.0.0.1"):
            try:
                model = opened("openai", f"https://{host}:{port}/v1")
                found.append((await asked(model)).text)
            except UpstreamError as error:
                found.append(error.outcome)
        proxy = await asyncio.start_server(tunnelling, "127.0.0.1", 0)
        where = proxy.sockets[0].getsockname()[1]
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{where}")
        try:
            found.append((await asked(opened("openai", f"https://localhost:{port}/v1"))).text)
        except UpstreamError as error:
            found.append(error.outcome)
        proxy.close()
        secure.close()
        await answering.over()
        await tunnelling.over()
        return found

    try:
        expected = ["Secure.", "unreachable", "Secure."] if known else ["unreachable"] * 3
        assert asyncio.run(calls()) == expected
    finally:
        network.trust.cache_clear()
