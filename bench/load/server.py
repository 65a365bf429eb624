"""A server as a child process: started, waited for, put under load, measured, ended."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.common import ROOT, child
from bench.load.account import memory, tree

READY = 180.0
"""Seconds within which a server has to answer its first request."""

Command = Callable[[int], Sequence[str | Path]]
"""The words that start a server on a port."""


class NotReadyError(RuntimeError):
    """A server ended or gave no good answer in time; holds the end of what it printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """How to start a server and what to ask it.

    Attributes:
        command: Gives the words that start it on a port.
        paths: Paths to ask, in turn.
        body: JSON body, with ``"$TEXT"`` for a text.
        env: Environment variables beside those of this process.
        folder: Where it runs.
    """

    command: Command
    paths: tuple[str, ...]
    body: str
    headers: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    folder: Path | None = None


class Server:
    """A running server; ends with the ``with`` block, all its processes with it."""

    def __init__(self, spec: Spec, log: Path, tokenizer: Path) -> None:
        """Remember how; nothing is started yet.

        Args:
            spec: The server.
            log: File for what it prints.
            tokenizer: By which the generator counts tokens.
        """
        self.spec = spec
        self.port = free_port()
        self.started_s = 0.0
        self._log = log
        self._tokenizer = tokenizer
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it and wait for its first good answer.

        Raises:
            NotReadyError: If it ended, or did not answer in time.
        """
        started = time.perf_counter()
        words = [str(word) for word in self.spec.command(self.port)]
        with self._log.open("wb") as out:
            self._process = subprocess.Popen(
                words,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.spec.env},
                cwd=self.spec.folder,
                start_new_session=True,
            )
        try:
            self._wait(started + READY)
        except BaseException:
            self._end()
            raise
        self.started_s = time.perf_counter() - started
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it and everything it started."""
        self._end()

    def load(self, **plan: Any) -> dict[str, Any]:
        """One run of the load generator, see ``bench.load.generator.Plan``.

        Raises:
            ChildFailedError: If there was no good answer.
        """
        assert self._process is not None
        whole = {
            "port": self.port,
            "paths": self.spec.paths,
            "body": self.spec.body,
            "headers": self.spec.headers,
            "tokenizer": str(self._tokenizer),
            "roots": (self._process.pid,),
            **plan,
        }
        command = [sys.executable, "-m", "bench.load.generator", json.dumps(whole)]
        return json.loads(child(command, env={"PYTHONPATH": str(ROOT)}).out)

    def memory(self) -> dict[str, float]:
        """MiB of all its processes now."""
        assert self._process is not None
        return memory((self._process.pid,))

    @property
    def pid(self) -> int:
        """Process that was started."""
        assert self._process is not None
        return self._process.pid

    def pause(self, *, on: bool) -> None:
        """Stop all its processes from running, or let them go on."""
        for process in tree((self.pid,)):
            process.send_signal(signal.SIGSTOP if on else signal.SIGCONT)

    def _wait(self, until: float) -> None:
        assert self._process is not None
        body = self.spec.body.replace("$TEXT", "is this thing on").encode()
        headers = dict(line.split(": ", 1) for line in self.spec.headers)
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{self.spec.paths[0]}",
            body,
            {"Content-Type": "application/json", **headers},
        )
        said = ""
        while time.perf_counter() < until and self._process.poll() is None:
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                    answer.read()
                    return
            except urllib.error.HTTPError as error:
                said = f"{error.code} {error.read()[:500]!r}"
                if error.code not in (404, 503):  # not there yet, or not ready yet
                    break
            except OSError as error:
                said = str(error)
            time.sleep(0.2)
        printed = self._log.read_bytes()[-3000:].decode(errors="replace")
        raise NotReadyError(f"no answer from {self._process.args}: {said}\n{printed}")

    def _end(self) -> None:
        if self._process is None:
            return
        members = tree((self._process.pid,))
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        for process in members:
            with suppress(Exception):
                process.kill()
        self._process.wait()


def free_port() -> int:
    """A port on the loopback address that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
