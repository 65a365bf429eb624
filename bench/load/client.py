"""A small HTTP/1.1 client that keeps many connections busy from one thread.

Sockets and epoll without a framework: about 10 µs of CPU a request, so that the generator, which
runs on the server's cores, takes little from it. It sends requests that were rendered before.
"""

import re
import select
import socket
import time
from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: *(\d+)")
CHUNKED = re.compile(rb"\r\n[Tt]ransfer-[Ee]ncoding: *chunked")
CLOSES = re.compile(rb"\r\n[Cc]onnection: *close")
LAST_CHUNK = b"0\r\n\r\n"
CONNECTIONS = 256
"""Most connections of an open loop; further requests wait at the client, which counts."""


@dataclass(slots=True)
class Tally:
    """What came back.

    Attributes:
        latencies: Seconds of each answer that counts, in order of arrival; for an open loop from
            the moment at which the request was due, whenever it could be sent.
        sent: Requests that were sent, the warm-up's included.
        answered: Good answers, the warm-up's included.
        errors: Times of each status other than 200; 0 for a connection that broke.
        seconds: Length of the measured part.
        example: Body of one good answer.
    """

    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    sent: int = 0
    answered: int = 0
    errors: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0
    example: bytes = b""


class Connection:
    """One connection: at most one request on its way.

    Attributes:
        due: When the request on its way was due; ``None`` while there is none.
        ended: Whether the server closed it while it was idle, as servers do after a while.
    """

    __slots__ = ("buffer", "due", "ended", "sock")

    def __init__(self, address: tuple[str, int]) -> None:
        self.buffer = b""
        self.due: float | None = None
        self.ended = False
        self.sock = socket.create_connection(address, timeout=30)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request: bytes, due: float) -> None:
        """Send a request that was due at a moment of the clock."""
        self.due = due
        self.buffer = b""
        self.sock.sendall(request)

    def receive(self) -> tuple[int, bytes, bool] | None:
        """Status, body and whether the server closes; ``None`` while more is to come.

        Raises:
            ConnectionError: If the connection ended before the answer was whole.
        """
        data = self.sock.recv(1 << 18)
        if not data:
            raise ConnectionError
        buffer = self.buffer + data if self.buffer else data
        end = buffer.find(b"\r\n\r\n")
        if end >= 0:
            length = LENGTH.search(buffer, 0, end)
            if length is not None:
                whole = len(buffer) >= end + 4 + int(length[1])
            else:
                chunked = CHUNKED.search(buffer, 0, end) is not None
                whole = chunked and buffer.endswith(LAST_CHUNK)
            if whole:
                closes = CLOSES.search(buffer, 0, end) is not None
                return int(buffer[9:12]), buffer[end + 4 :], closes
        self.buffer = buffer
        return None

    def close(self) -> None:
        self.sock.close()


class Client:
    """Drives one server from one thread; either loop may be called once."""

    def __init__(self, address: tuple[str, int], requests: Sequence[bytes]) -> None:
        """Prepare to send ``requests`` in turn, from the first again after the last."""
        self.tally = Tally()
        self._address = address
        self._requests = requests
        self._next = 0
        self._poll = select.epoll()
        self._by_descriptor: dict[int, Connection] = {}
        self._counts_from = 0.0
        self._open = False

    def closed(self, connections: int, warm: float, seconds: float) -> Tally:
        """Each connection asks again as soon as it was answered."""
        for _ in range(connections):
            self._dial()
        started = time.perf_counter()
        self._counts_from, until = started + warm, started + warm + seconds
        for connection in list(self._by_descriptor.values()):
            self._send(connection, started)
        while (now := time.perf_counter()) < until:
            for connection in self._ready(until - now):
                self._send(connection, time.perf_counter())
        self.tally.seconds = time.perf_counter() - self._counts_from
        self._close()
        return self.tally

    def opened(self, due: Sequence[float], warm: float, grace: float = 10.0) -> Tally:
        """Requests leave when they are due, seconds from the start, whatever came back by then.

        What is unanswered ``grace`` seconds after the last was due counts as an error.
        """
        self._open = True
        for _ in range(32):
            self._dial()
        free = deque(self._by_descriptor.values())
        waiting: deque[float] = deque()
        started = time.perf_counter()
        self._counts_from, last = started + warm, started + due[-1]
        upcoming = 0
        while True:
            now = time.perf_counter()
            while upcoming < len(due) and started + due[upcoming] <= now:
                waiting.append(started + due[upcoming])
                upcoming += 1
            while waiting and (free or len(self._by_descriptor) < CONNECTIONS):
                connection = free.popleft() if free else self._dial()
                self._send(connection, waiting.popleft())
            busy = len(self._by_descriptor) - len(free)
            if upcoming == len(due) and not waiting and not busy:
                break
            if now > last + grace:
                self._count_error(0, busy + len(waiting))
                break
            until = started + due[upcoming] if upcoming < len(due) else last + grace
            free.extend(self._ready(until - time.perf_counter()))
        self.tally.seconds = last - self._counts_from
        self._close()
        return self.tally

    def _dial(self) -> Connection:
        connection = Connection(self._address)
        descriptor = connection.sock.fileno()
        self._by_descriptor[descriptor] = connection
        self._poll.register(descriptor, select.EPOLLIN)
        return connection

    def _send(self, connection: Connection, due: float) -> None:
        request = self._requests[self._next % len(self._requests)]
        self._next += 1
        self.tally.sent += 1
        try:
            (self._again(connection) if connection.ended else connection).send(request, due)
        except OSError:
            self._again(connection).send(request, due)

    def _ready(self, wait: float) -> list[Connection]:
        """Connections that may ask again, after at most ``wait`` seconds.

        epoll alone waits in whole milliseconds, which is too coarse to send on time; select on
        epoll's own descriptor waits in microseconds.
        """
        select.select((self._poll.fileno(),), (), (), max(0.0, wait))
        free: list[Connection] = []
        for descriptor, _ in self._poll.poll(0):
            connection = self._by_descriptor[descriptor]
            try:
                answer = connection.receive()
            except OSError:
                if connection.due is None:
                    connection.ended = True
                    self._poll.unregister(descriptor)
                    continue
                self._count_error(0)
                free.append(self._again(connection))
                continue
            if answer is not None and connection.due is not None:
                status, body, closes = answer
                self._count(connection.due, status, body)
                connection.due = None
                free.append(self._again(connection) if closes else connection)
        return free

    def _count(self, due: float, status: int, body: bytes) -> None:
        if status != 200:
            self._count_error(status)
            return
        self.tally.answered += 1
        now = time.perf_counter()
        # A closed loop counts what comes back within the measured part: one that counted only what
        # was also sent within it would lose as many answers as it has connections.
        if (due if self._open else now) >= self._counts_from:
            self.tally.latencies.append(now - due)
        if not self.tally.example:
            self.tally.example = body

    def _count_error(self, status: int, times: int = 1) -> None:
        if times:
            self.tally.errors[status] = self.tally.errors.get(status, 0) + times

    def _again(self, connection: Connection) -> Connection:
        """A new connection in the place of one that is of no more use."""
        del self._by_descriptor[connection.sock.fileno()]
        if not connection.ended:
            self._poll.unregister(connection.sock)
        connection.close()
        return self._dial()

    def _close(self) -> None:
        for connection in self._by_descriptor.values():
            connection.close()
        self._poll.close()
