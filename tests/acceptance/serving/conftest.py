"""A real server process, good clients that count what they get, and how much memory it takes."""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

COMMAND = Path(sys.executable).with_name("milepost")
ADDRESS = re.compile(r"milepost serves at (http://\S+)")
TEXTS = (
    "where is my parcel",
    "I was charged twice",
    "I cannot log in any more",
    "the courier left it at the wrong house",
    "please refund my order",
    "reset my password",
)


@dataclass
class Server:
    """``milepost serve`` as a process of its own."""

    process: subprocess.Popen[str]
    address: str
    output: list[str]

    @property
    def host(self) -> str:
        return urlsplit(self.address).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.address).port or 0

    @property
    def below(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def resident(self) -> int:
        """Memory of all its processes, in bytes."""
        found = 0
        for each in (psutil.Process(self.process.pid), *self.below):
            try:
                found += each.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return found

    def stop(self, *, within: float = 60.0) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within)


@pytest.fixture
def serve(environment) -> Iterator[Callable[..., Server]]:
    """Starts servers; every one is ended with the test."""
    running: list[subprocess.Popen[str]] = []
    readers: list[threading.Thread] = []

    def start(folder: Path, *arguments: object, variables: dict[str, str] | None = None) -> Server:
        # No load balancer has to see that it stops.
        settings = folder / "milepost.toml"
        if "[limits]" not in settings.read_text():
            settings.write_text(f"{settings.read_text()}\n[limits]\nlame_duck = 0.2\n")
        process = subprocess.Popen(
            [COMMAND, "-w", folder, "serve", "--port", "0", *map(str, arguments)],
            env={**environment, **(variables or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running.append(process)
        assert process.stdout is not None
        output: list[str] = []
        for line in process.stdout:
            output.append(line)
            if found := ADDRESS.search(line):
                break
        else:
            raise AssertionError(f"it does not serve:\n{''.join(output)}")
        # Read on, so that a full pipe never holds it up.
        reader = threading.Thread(target=output.extend, args=(process.stdout,), daemon=True)
        reader.start()
        readers.append(reader)
        return Server(process, found[1], output)

    yield start
    for process in running:
        if process.poll() is None:
            children = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            for child in children:
                child.kill()
        process.wait()
        assert process.stdout is not None
    # The readers end with the pipes, and nothing is closed under them.
    for reader in readers:
        reader.join()
    for process in running:
        process.stdout.close()


@dataclass
class Traffic:
    """What good clients got.

    Attributes:
        good: Requests that were answered.
        failed: What went wrong, and how often.
        seconds: How long each good one took.
        releases: How often each release answered, and when it did so first and last.
        traces: Ids of the traces of the answers.
    """

    good: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    releases: Counter[int] = field(default_factory=Counter)
    traces: list[str] = field(default_factory=list)
    first: dict[int, float] = field(default_factory=dict)
    mixed: int = 0

    @property
    def share(self) -> float:
        return self.good / max(1, self.good + self.failed.total())

    def p(self, quantile: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(quantile * len(ordered)))] if ordered else 0.0


class Client:
    """One connection that is kept open; a request on a connection that the server had closed while
    nothing was under way is sent again on a new one, as every HTTP client does (RFC 9112, 9.3.1).
    """

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._host, self._port = parts.hostname, parts.port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, path: str, body: bytes, headers: Sequence[str] = ()) -> tuple[int, bytes]:
        head = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
        request = "\r\n".join([*head, *headers, "", ""]).encode() + body
        fresh = self._streams is None
        if self._streams is None or _is_over(self._streams[0]):
            fresh = True
            await self._connect()
        assert self._streams is not None
        reader, writer = self._streams
        try:
            writer.write(request)
            status = await reader.readline()
            if not status and not fresh:
                await self._connect()
                reader, writer = self._streams
                writer.write(request)
                status = await reader.readline()
            if not status:
                raise ConnectionResetError("closed before its answer")
            return int(status.split()[1]), await self._rest(reader)
        except BaseException:
            self.close()
            raise

    async def _connect(self) -> None:
        self.close()
        self._streams = await asyncio.open_connection(self._host, self._port)

    async def _rest(self, reader: asyncio.StreamReader) -> bytes:
        length, closes = 0, False
        while (line := await reader.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
            closes = closes or (name.lower() == b"connection" and b"close" in value)
        content = await reader.readexactly(length)
        if closes:
            self.close()
        return content

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def _is_over(reader: asyncio.StreamReader) -> bool:
    """Whether the server has closed a connection on which nothing is under way."""
    return reader.at_eof() or reader.exception() is not None


class Load:
    """Good clients in a thread of their own: so many requests a second until it is stopped."""

    def __init__(
        self,
        address: str | Sequence[str],
        *,
        rate: float = 100.0,
        task: str = "route",
        clients: int = 8,
        headers: Sequence[str] = (),
        inputs: int = 1,
    ) -> None:
        self.traffic = Traffic()
        self._addresses = [address] if isinstance(address, str) else list(address)
        self._rate, self._clients, self._headers = rate, clients, headers
        self._path, self._inputs = f"/v1/tasks/{task}/predict", inputs
        self._ends = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._sent = 0

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> Traffic:
        self._ends.set()
        self._thread.join()
        return self.traffic

    def until(self, answers: int, within: float = 120.0) -> None:
        """Wait until so many more requests were answered."""
        goal, end = self.traffic.good + answers, time.monotonic() + within
        while self.traffic.good < goal:
            assert time.monotonic() < end, f"no traffic: {self.traffic.failed}"
            self._ends.wait(0.01)

    async def _run(self) -> None:
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for at in range(self._clients):
                group.create_task(self._client(at, began))

    async def _client(self, at: int, began: float) -> None:
        client = Client(self._addresses[at % len(self._addresses)])
        while not self._ends.is_set():
            due = began + self._sent / self._rate
            self._sent += 1
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            texts = [TEXTS[(self._sent + i) % len(TEXTS)] for i in range(self._inputs)]
            await self._one(client, json.dumps({"inputs": texts}).encode())
        client.close()

    async def _one(self, client: Client, body: bytes) -> None:
        traffic, began = self.traffic, time.monotonic()
        try:
            async with asyncio.timeout(30):
                status, content = await client.ask(self._path, body, self._headers)
        except (OSError, TimeoutError, EOFError, ValueError) as error:
            traffic.failed[type(error).__name__] += 1
            return
        if status != 200:
            traffic.failed[f"{status} {json.loads(content)['error']['code']}"] += 1
            return
        answer = json.loads(content)
        traffic.good += 1
        traffic.seconds.append(time.monotonic() - began)
        traffic.releases[answer["release"]] += 1
        traffic.first.setdefault(answer["release"], time.monotonic())
        traffic.traces += [each["trace_id"] for each in answer["predictions"]]
        traffic.mixed += len({each["rung"] for each in answer["predictions"]}) > 1


@pytest.fixture
def load() -> type[Load]:
    return Load


@pytest.fixture
def client() -> type[Client]:
    return Client


@pytest.fixture
def steps() -> Callable[[Callable[[], object], float], None]:
    """Waits until something holds."""

    def wait(holds: Callable[[], object], within: float) -> None:
        end = time.monotonic() + within
        event = threading.Event()
        while not holds():
            assert time.monotonic() < end, "it did not come to hold in time"
            event.wait(0.01)

    return wait


@pytest.fixture
def figures(request) -> Callable[..., None]:
    """Keeps what a scenario measured; ``python -m bench faults`` collects it."""

    def keep(**found: float) -> None:
        for name, value in found.items():
            request.node.user_properties.append((name, value))

    return keep


@pytest.fixture
def memory() -> Callable[[Server], "Memory"]:
    return Memory


class Memory:
    """The most memory that a server took while this was open, above what it took before."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.before = self.most = server.resident()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    @property
    def grown(self) -> int:
        return self.most - self.before

    def _look(self) -> None:
        while not self._ends.wait(0.05):
            self.most = max(self.most, self._server.resident())


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def strict() -> Callable[[Path], None]:
    """Asks that every answer of the task is recorded before it is given."""

    def say(desk: Path) -> None:
        file = desk / "tasks/route.yaml"
        file.write_text(file.read_text() + "recording: {strict: true}\n")

    return say


@pytest.fixture
def answering() -> Callable[[Server], list[psutil.Process]]:
    """The processes of a server that answer."""

    def find(server: Server) -> list[psutil.Process]:
        found: list[psutil.Process] = []
        for each in server.below:
            with contextlib.suppress(psutil.NoSuchProcess):
                if "milepost.gateway.process.worker" in each.cmdline():
                    found.append(each)
        return found

    return find


@pytest.fixture
def missing() -> Callable[[Path, Sequence[str]], list[str]]:
    """Traces that are not in the ledger of a workspace, of those that clients were told of."""

    def look(desk: Path, traces: Sequence[str]) -> list[str]:
        # Here, so that tests without a ledger do not wait for it.
        from milepost.workflows.opening import open_context

        with contextlib.closing(open_context(desk).ledger) as ledger:
            return [trace for trace in traces if ledger.trace(trace) is None]

    return look
