"""Real sockets: clients that are slow, greedy or strange, and an end without a loss."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import pytest

from milepost._base.limits import Limits
from milepost.gateway.application import Gateway, Options, app
from milepost.gateway.process import serving as serving_module
from milepost.gateway.process.listening import check_insecure, listen, url
from milepost.gateway.process.serving import Serving
from milepost.testing.answering import LengthService

LIMITS = Limits(
    header_bytes=2048,
    body_bytes=100_000,
    header_seconds=4,
    body_seconds=4,
    stall_seconds=4,
    idle_seconds=1000,
    lame_duck=0.2,
    grace=5,
)
BODY = b'{"inputs":["abc"]}'
HEAD = b"POST /v1/tasks/route/predict HTTP/1.1\r\nhost: d\r\n"
ASK = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY


@pytest.fixture(autouse=True)
def _quick_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is counted in seconds is counted in fiftieths of one."""
    monkeypatch.setattr(serving_module, "TICK", 0.02)


@dataclass
class Server:
    port: int
    serving: Serving
    service: LengthService

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def say(self, said: bytes) -> bytes:
        """All that is answered until the connection ends."""
        reader, writer = await self.open()
        writer.write(said)
        answer = await reader.read()
        writer.close()
        return answer


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """One answer with a length, and nothing after it."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
    body = await reader.readexactly(int(headers["content-length"]))
    return int(head[0].split()[1]), headers, body


def served(
    check: Callable[[Server], Awaitable[None]],
    limits: Limits = LIMITS,
    service: LengthService | None = None,
) -> None:
    async def run() -> None:
        answering = service or LengthService()
        gateway: Gateway = app(service=answering, options=Options(insecure=True, limits=limits))
        opened = await gateway.open()
        listening = listen("127.0.0.1", 0)
        port = listening.getsockname()[1]
        serving = Serving(gateway, opened, listening)
        await serving.start()
        try:
            await check(Server(port, serving, answering))
        finally:
            serving.give_up()
            await serving.drain()

    asyncio.run(run())


def test_a_connection_is_kept_for_many_requests():
    async def check(server: Server) -> None:
        reader, writer = await server.open()
        for _ in range(3):
            writer.write(ASK)
            status, headers, body = await answer_of(reader)
            assert (status, json.loads(body)["task"]) == (200, "route")
            assert "connection" not in headers
            assert "date" in headers
        writer.write(ASK * 20)  # pipelined
        for _ in range(20):
            assert (await answer_of(reader))[0] == 200
        writer.close()

    served(check)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: d\r\nx: " + b"y" * 5000, 431),
        (b"GET /health/live HTTP/1.1\r\nhost: d\r\nx: " + b"y" * 5000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 3000, 431),
        (HEAD + b"content-length: 4\r\nx: ", 408),
        (HEAD + b"content-length: 400\r\n\r\n{", 408),
        (HEAD + b"content-length: 999999999\r\n\r\n", 413),
        (HEAD + b"content-length: -1\r\n\r\n", 400),
        (HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (HEAD + b"content-encoding: gzip\r\ncontent-length: 9000000\r\n\r\n", 415),
    ],
)
def test_what_cannot_be_answered_is_said_and_closed(said: bytes, status: int):
    async def check(server: Server) -> None:
        answer = await server.say(said)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert b"connection: close" in answer.lower()
        error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
        assert set(error) == {"type", "code", "message", "param", "hint"}
        status_after, _, _ = await _asked(server)
        assert status_after == 200

    served(check)


async def _asked(server: Server) -> tuple[int, dict[str, str], bytes]:
    reader, writer = await server.open()
    writer.write(ASK)
    answer = await answer_of(reader)
    writer.close()
    return answer


def test_a_large_head_in_one_piece_with_its_body_is_no_large_head():
    async def check(server: Server) -> None:
        body = json.dumps({"inputs": ["x" * 3000]}).encode()
        reader, writer = await server.open()
        writer.write(HEAD + b"content-length: %d\r\n\r\n" % len(body) + body)
        assert (await answer_of(reader))[0] == 200
        writer.close()

    served(check)


@pytest.mark.parametrize("path", ["predict", "predict/stream", "batch"])
def test_a_client_that_asks_before_it_sends_is_told_to(path: str):
    async def check(server: Server) -> None:
        reader, writer = await server.open()
        head = HEAD.replace(b"predict", path.encode()) + b"content-type: application/x-ndjson\r\n"
        writer.write(head + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(BODY))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(BODY)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        writer.close()

    served(check)


def test_slowloris_connections_do_not_keep_others_out():
    """Far more unfinished heads than there may be connections: a good client is answered."""

    async def check(server: Server) -> None:
        slow = []
        for n in range(60):
            slow.append(await server.open())
            slow[-1][1].write(b"GET / HTTP/1.1\r\nx: ")
            if n % 10 == 9:
                assert (await _asked(server))[0] == 200
        assert server.serving.connections <= 25
        for _, writer in slow:
            writer.close()

    limits = Limits(connections=20, header_seconds=10_000)
    served(check, limits)


def test_too_many_busy_connections_are_told_so():
    async def check(server: Server) -> None:
        busy = [await server.open() for _ in range(3)]
        for _, writer in busy:
            writer.write(ASK)
        while server.service.working < 3:
            await asyncio.sleep(0.001)
        answer = await server.say(b"")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in answer
        for reader, writer in busy:
            assert (await answer_of(reader))[0] == 200
            writer.close()

    served(check, Limits(connections=3), LengthService(seconds=0.3))


def test_a_reader_that_stops_is_cut_off():
    """Its answers do not fit into the buffers of the system, and it takes none of them."""

    async def check(server: Server) -> None:
        body = json.dumps({"inputs": ["a"] * 1000}).encode()
        one = HEAD + b"content-length: %d\r\n\r\n" % len(body) + body
        lazy = socket.socket()
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(lazy, ("127.0.0.1", server.port))
        sending = loop.create_task(loop.sock_sendall(lazy, one * 100))
        while server.serving.connections == 0:
            await asyncio.sleep(0.001)
        while server.serving.connections:
            await asyncio.sleep(0.01)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        lazy.close()

    served(check)


def test_a_body_may_be_refused_and_the_connection_go_on():
    async def check(server: Server) -> None:
        reader, writer = await server.open()
        writer.write(b"POST /nowhere HTTP/1.1\r\nhost: d\r\ncontent-length: 3\r\n\r\nabc" + ASK)
        assert (await answer_of(reader))[0] == 404
        assert (await answer_of(reader))[0] == 200
        writer.close()

    served(check)


def test_an_endless_body_is_refused_while_it_comes():
    async def check(server: Server) -> None:
        reader, writer = await server.open()
        writer.write(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        answer = asyncio.create_task(answer_of(reader))
        sent = 0
        try:
            while not answer.done():
                writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
                sent += 65_536
                await writer.drain()
        except ConnectionError:
            pass
        status, headers, _ = await answer
        assert (status, headers["connection"]) == (413, "close")
        assert sent < 8_000_000
        writer.close()

    served(check)


class TestDraining:
    def test_what_was_begun_ends_and_idle_connections_are_answered(self):
        """No client sees a reset: in flight, idle, and still in the kernel's queue."""

        async def check(server: Server) -> None:
            flying = await server.open()
            idle = await server.open()
            for reader, writer in (flying, idle):
                writer.write(ASK)
                assert (await answer_of(reader))[0] == 200
            flying[1].write(ASK)
            while not server.service.working:
                await asyncio.sleep(0.001)
            waiting = socket.create_connection(("127.0.0.1", server.port))
            waiting.sendall(ASK)
            draining = asyncio.create_task(server.serving.drain())
            await asyncio.sleep(0)
            idle[1].write(ASK)
            for reader, writer in (flying, idle):
                status, headers, _ = await answer_of(reader)
                assert (status, headers["connection"]) == (200, "close")
                assert await reader.read() == b""
                writer.close()
            reader, writer = await asyncio.open_connection(sock=waiting)
            assert (await answer_of(reader))[0] == 200
            writer.close()
            await draining
            with pytest.raises(ConnectionRefusedError):
                await server.open()

        served(check, service=LengthService(seconds=0.05))

    def test_a_lame_duck_is_not_ready_and_takes_connections(self):
        async def check(server: Server) -> None:
            draining = asyncio.create_task(server.serving.drain())
            await asyncio.sleep(0)
            ready = b"GET /health/ready HTTP/1.1\r\nhost: d\r\n\r\n"
            for said, expected in ((ready, b"503"), (ASK, b"200")):
                answer = await server.say(said)
                assert answer.startswith(b"HTTP/1.1 " + expected)
                assert b"connection: close" in answer.lower()
            assert not draining.done()
            server.serving.give_up()
            await draining
            with pytest.raises(ConnectionRefusedError):
                await server.open()

        served(check, Limits(lame_duck=1000))

    def test_who_must_leave_the_port_takes_no_more(self):
        async def check(server: Server) -> None:
            server.serving.take_no_more()
            await server.serving.drain()
            with pytest.raises(ConnectionRefusedError):
                await server.open()

        served(check, Limits(lame_duck=1000))

    def test_an_idle_connection_is_closed_after_the_lame_duck_time(self):
        async def check(server: Server) -> None:
            reader, writer = await server.open()
            writer.write(ASK)
            await answer_of(reader)
            await server.serving.drain()
            assert await reader.read() == b""
            writer.close()

        served(check)

    def test_nothing_is_waited_for_when_it_is_given_up(self):
        async def check(server: Server) -> None:
            _, writer = await server.open()
            writer.write(ASK)
            while not server.service.working:
                await asyncio.sleep(0.001)
            server.serving.give_up()
            async with asyncio.timeout(10):
                await server.serving.drain()
            writer.close()

        limits = Limits(lame_duck=1000, grace=1000)
        served(check, limits, LengthService(seconds=3.0))


class TestListening:
    @pytest.fixture
    def taken(self) -> Iterator[int]:
        with listen("127.0.0.1", 0) as there:
            yield there.getsockname()[1]

    def test_a_port_in_use(self, taken: int):
        with pytest.raises(Exception, match="is in use"):
            listen("127.0.0.1", taken)

    def test_two_servers_on_one_port(self):
        with listen("127.0.0.1", 0, reuse_port=True) as one:
            port = one.getsockname()[1]
            with listen("127.0.0.1", port, reuse_port=True) as other:
                assert url(one) == url(other) == f"http://127.0.0.1:{port}"

    @pytest.mark.parametrize("host", ["nowhere.invalid", "x" * 300, ""])
    def test_a_host_that_is_none(self, host: str):
        if not host:
            check_insecure("localhost")
            return
        with pytest.raises(Exception, match="is not known"):
            listen(host, 0)

    @pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104 - refused
    def test_without_keys_only_on_loopback(self, host: str):
        with pytest.raises(Exception, match="everybody"):
            check_insecure(host)
