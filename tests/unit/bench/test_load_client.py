"""The load generator of the benchmarks counts what really happened."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

import pytest

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
Respond = Callable[[socket.socket], None]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3]))
    import bench.load.client

    return bench.load.client


@contextmanager
def serving(respond: Respond) -> Iterator[tuple[str, int]]:
    """A server that answers each request on each connection with ``respond``."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=64)

    def connection(sock: socket.socket) -> None:
        with sock, suppress(OSError):
            while sock.recv(65536):
                respond(sock)

    def accept() -> None:
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=connection, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listening.getsockname()
    finally:
        listening.close()


def test_a_closed_loop_counts_every_answer(client: ModuleType) -> None:
    answered = []

    def respond(sock: socket.socket) -> None:
        answered.append(1)
        sock.sendall(OK)

    with serving(respond) as address:
        tally = client.Client(address, [REQUEST]).closed(4, warm=0.0, seconds=0.3)
    assert tally.errors == {}
    assert 0 < tally.answered <= len(answered) <= tally.sent <= tally.answered + 4
    assert tally.example == b"hi"


def test_refusals_and_broken_answers_are_errors(client: ModuleType) -> None:
    turns = iter(range(10**9))

    def respond(sock: socket.socket) -> None:
        if next(turns) % 2:
            sock.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
        else:
            sock.sendall(OK[:-1])
            sock.shutdown(socket.SHUT_RDWR)

    with serving(respond) as address:
        tally = client.Client(address, [REQUEST]).closed(1, warm=0.0, seconds=0.2)
    assert tally.answered == 0
    assert len(tally.latencies) == 0
    assert set(tally.errors) == {0, 503}


def test_answers_in_pieces_are_put_together(client: ModuleType) -> None:
    def respond(sock: socket.socket) -> None:
        for piece in (
            b"HTTP/1.1 200 OK\r\nTransfer-Enc",
            b"oding: chunked\r\n\r\n2\r\nhi",
            b"\r\n0\r\n\r\n",
        ):
            sock.sendall(piece)
            time.sleep(0.001)

    with serving(respond) as address:
        tally = client.Client(address, [REQUEST]).closed(2, warm=0.0, seconds=0.2)
    assert tally.errors == {}
    assert tally.answered > 0


def test_a_stall_is_in_the_latency_of_all_it_held_up(client: ModuleType) -> None:
    """No coordinated omission: what was due while the server stood still waited that long."""
    stall, once, gate = 0.4, threading.Event(), threading.Lock()

    def respond(sock: socket.socket) -> None:
        with gate:
            if not once.is_set():
                once.set()
                time.sleep(stall)
        sock.sendall(OK)

    due = [0.005 * i for i in range(100)]
    with serving(respond) as address:
        tally = client.Client(address, [REQUEST]).opened(due, warm=0.0)
    assert tally.answered == len(due) == len(tally.latencies)
    # Of those due in the first half of the stall each waited at least its second half.
    assert sum(latency >= stall / 2 for latency in tally.latencies) >= 0.5 * stall / 0.005


def test_what_never_comes_back_is_an_error(client: ModuleType) -> None:
    with serving(lambda sock: None) as address:
        tally = client.Client(address, [REQUEST]).opened([0.0, 0.01, 0.02], warm=0.0, grace=0.1)
    assert tally.errors == {0: 3}
    assert tally.answered == 0
