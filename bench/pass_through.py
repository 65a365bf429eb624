"""What a gateway adds to a call of a language model that answers at once, one call at a time.

The same client asks a mock endpoint directly, through ``milepost serve`` (key, routing, metering,
traces on) and through LiteLLM's proxy (in an environment of its own, without a database), in turns
within one run. Every question is another one, so that no cache answers.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from bench.common import ROOT, ChildFailedError, Options, child, scratch, summary
from bench.load.environments import UnavailableError, python, versions
from bench.load.server import free_port
from bench.upstream_overhead import endpoint

TARGET_MS = 0.4
CALLS, ROUNDS = 250, 12
READY_S = 120.0
COMMAND = Path(sys.executable).with_name("milepost")


def run(options: Options) -> dict[str, Any]:
    """All systems in turns; what each adds to asking directly in the same round."""
    calls, rounds = (60, 2) if options.quick else (CALLS, ROUNDS)
    chosen = options.only or ("milepost", "litellm")
    notes: dict[str, str] = {}
    with scratch() as folder, endpoint(0.0) as base_url:
        asked = {"direct": Caller(base_url, "mock-1", "")}
        servers: list[Any] = []
        try:
            for name in chosen:
                start = {"milepost": milepost, "litellm": litellm}[name]
                try:
                    servers.append(start(folder / name, base_url))
                except (UnavailableError, ChildFailedError, TimeoutError) as error:
                    notes[name] = str(error)[-500:]
                    continue
                asked[name] = servers[-1].__enter__()
            found = measured(asked, calls, rounds)
        finally:
            for server in servers:
                with suppress(ProcessLookupError):
                    server.__exit__(None, None, None)
    result: dict[str, Any] = {
        "calls": calls,
        "rounds": rounds,
        "systems": {
            name: {key: summary([one[key] for one in each]) for key in each[0]}
            for name, each in found.items()
        },
        "target_ms": TARGET_MS,
        "notes": notes,
    }
    for kind in ("p50_ms", "first_p50_ms"):
        result[f"added_{kind}"] = {
            name: summary([a[kind] - b[kind] for a, b in zip(each, found["direct"], strict=True)])
            for name, each in found.items()
            if name != "direct"
        }
    if "litellm" in found:
        result["litellm_environment"] = versions(python("litellm"))
    show(result)
    return result


def show(result: dict[str, Any]) -> None:
    """One line for each system."""
    for name, row in result["systems"].items():
        added = result["added_p50_ms"].get(name, {}).get("median", 0.0)
        first = result["added_first_p50_ms"].get(name, {}).get("median", 0.0)
        cpu = row["cpu_ms"]["median"]
        print(
            f"{name:<10} p50 {row['p50_ms']['median']:7.3f} ms  p99 {row['p99_ms']['median']:7.3f} "
            f"ms  added {added:+7.3f} ms (first event of a stream {first:+7.3f} ms)  "
            f"CPU {cpu:6.3f} ms a call"
        )


class Caller:
    """Asks over one connection, without a client's own work; ``connect`` comes first.

    Args:
        base_url: Up to ``/chat/completions``.
        model: As the server calls it.
        key: Bearer token; empty for none.
        process: Of the server, for its processor time; ``None`` counts none.
    """

    def __init__(self, base_url: str, model: str, key: str, process: int | None = None) -> None:
        host, _, rest = base_url.removeprefix("http://").partition(":")
        port, _, path = rest.partition("/")
        self._model, self._process = model, process
        self._head = (
            f"POST /{path}/chat/completions HTTP/1.1\r\nhost: {host}:{port}\r\n"
            f"authorization: Bearer {key or 'none'}\r\ncontent-type: application/json\r\n"
        )
        self._address = (host, int(port))
        self._socket: socket.socket | None = None
        self._number = 0

    def connect(self) -> None:
        """Open it anew: servers close what was idle while the others had their turn."""
        if self._socket is not None:
            self._socket.close()
        self._socket = socket.create_connection(self._address, timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, *, stream: bool = False) -> tuple[float, float]:
        """Seconds until the first bytes of the answer's body, and until its end."""
        assert self._socket is not None
        self._number += 1
        text = f"{self._number}: where is my parcel, please? It should have come on Tuesday."
        asked: dict[str, Any] = {"model": self._model, "messages": [{"role": "user"}]}
        asked["messages"][0]["content"] = text
        asked |= {"max_tokens": 16} | ({"stream": True} if stream else {})
        body = json.dumps(asked)
        began = time.perf_counter()
        self._socket.sendall(f"{self._head}content-length: {len(body)}\r\n\r\n{body}".encode())
        received, first = b"", 0.0
        while not whole(received):
            piece = self._socket.recv(65_536)
            if not piece:
                raise ConnectionError(f"the server hung up: {received[-300:]!r}")
            received += piece
            if not first and received.partition(b"\r\n\r\n")[2]:
                first = time.perf_counter() - began
        if b" 200 " not in received[:20]:
            raise ConnectionError(received[:600].decode(errors="replace"))
        return first, time.perf_counter() - began

    def cpu(self) -> float:
        """Processor seconds of the server and all below it."""
        if self._process is None:
            return 0.0
        top = psutil.Process(self._process)
        found = 0.0
        for each in (top, *top.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = each.cpu_times()
                found += times.user + times.system
        return found


def whole(received: bytes) -> bool:
    """Whether an answer has come to its end."""
    head, gap, body = received.partition(b"\r\n\r\n")
    if not gap:
        return False
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.partition(b":")[2])
    return body.endswith(b"0\r\n\r\n")


def measured(
    asked: dict[str, Caller], calls: int, rounds: int
) -> dict[str, list[dict[str, float]]]:
    """What each round of each system took; they take turns."""
    for caller in asked.values():
        caller.connect()
        for _ in range(50):
            caller.ask()
            caller.ask(stream=True)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in asked}
    for _ in range(rounds):
        for name, caller in asked.items():
            found[name].append(one_round(caller, calls))
    return found


def one_round(caller: Caller, calls: int) -> dict[str, float]:
    """Latencies of one round in milliseconds, and processor time a call."""
    caller.connect()
    caller.ask()
    before = caller.cpu()
    seconds = sorted(caller.ask()[1] for _ in range(calls))
    cpu = (caller.cpu() - before) / calls
    firsts = sorted(caller.ask(stream=True)[0] for _ in range(max(20, calls // 5)))
    return {
        "p50_ms": 1000 * seconds[len(seconds) // 2],
        "p99_ms": 1000 * seconds[int(len(seconds) * 0.99)],
        "first_p50_ms": 1000 * firsts[len(firsts) // 2],
        "cpu_ms": 1000 * cpu,
    }


@contextmanager
def milepost(folder: Path, base_url: str) -> Generator[Caller]:
    """``milepost serve`` with the endpoint registered and priced, and a key that may ask it."""
    child([COMMAND, "init", folder])
    shutil.rmtree(folder / "tasks")
    (folder / "tasks").mkdir()
    words = ("--model", "mock-1", "--private", "--price-in", "1", "--price-out", "2")
    child([COMMAND, "-w", folder, "upstreams", "add", "mock", "--base-url", base_url, *words])
    key = child([COMMAND, "-w", folder, "keys", "create", "--upstream", "mock"]).out.strip()
    port = free_port()
    command = [COMMAND, "-w", folder, "serve", "--port", str(port)]
    with started(command, folder / "log.txt", port) as process:
        yield Caller(f"http://127.0.0.1:{port}/v1", "mock", key, process)


@contextmanager
def litellm(folder: Path, base_url: str) -> Generator[Caller]:
    """LiteLLM's proxy with one worker and one model, as its quick start sets it up."""
    folder.mkdir(parents=True)
    interpreter, port = python("litellm"), free_port()
    model = {"model": "openai/mock-1", "api_base": base_url, "api_key": "none"}
    config = {
        "model_list": [{"model_name": "mock", "litellm_params": model}],
        "general_settings": {"master_key": "sk-bench"},
    }
    (folder / "config.yaml").write_text(json.dumps(config))
    command = [interpreter.with_name("litellm"), "--config", folder / "config.yaml"]
    command += ["--port", str(port), "--num_workers", "1", "--telemetry", "False"]
    with started(command, folder / "log.txt", port) as process:
        yield Caller(f"http://127.0.0.1:{port}/v1", "mock", "sk-bench", process)


@contextmanager
def started(command: list[str | Path], log: Path, port: int) -> Generator[int]:
    """A server, until it listens and while the block runs; its process."""
    with log.open("w") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, cwd=ROOT, start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        try:
            end = time.monotonic() + READY_S
            while True:
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                if process.poll() is not None or time.monotonic() > end:
                    raise TimeoutError(f"it does not start: {log.read_text()[-400:]}")
                time.sleep(0.2)
            yield process.pid
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
