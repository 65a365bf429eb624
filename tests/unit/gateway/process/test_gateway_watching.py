"""The process that watches, with workers that only say that they are ready."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

WATCH = """
import sys
sys.executable = sys.argv[2]
del sys.argv[2]
from milepost.gateway.process.watching import main
main()
"""

WORKER = """#!{python}
import json, os, signal, sys, time
work = json.loads(sys.argv[3])
os.write({log}, b"started %d\\n" % os.getpid())
signal.signal(signal.SIGUSR1, lambda *_: (os.write({log}, b"hurried\\n"), os._exit(0)))
signal.signal(signal.SIGTERM, lambda *_: (os.write({log}, b"drained\\n"), os._exit(0)))
os.write(work["news"], json.dumps({{"tasks": [{{"name": "t", "release": 1}}]}}).encode())
os.close(work["news"])
os.read(work["life"], 1)
os.write({log}, b"orphaned\\n")
"""


class Watched:
    """A process that watches, and what its workers wrote down."""

    def __init__(self, worker: Path, log: Path, **order: object) -> None:
        read, write = os.pipe()
        self.log = log
        self.process = subprocess.Popen(
            [sys.executable, "-c", WATCH, json.dumps({"port": 0, "announce": write, **order}),
             worker],
            pass_fds=(write,),
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        os.close(write)
        with os.fdopen(read) as pipe:
            line = pipe.read()
        self.news = json.loads(line) if line else None

    def lines(self, enough: Callable[[list[str]], bool]) -> list[str]:
        while not enough(lines := self.log.read_text().splitlines()):
            assert self.process.poll() is None or enough(self.log.read_text().splitlines())
        return lines

    def workers(self) -> list[int]:
        return [int(line.split()[1]) for line in self.log.read_text().splitlines()
                if line.startswith("started")]  # fmt: skip


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Callable[..., Watched]]:
    log = tmp_path / "log"
    log.touch()
    worker = tmp_path / "worker"
    opened = f'os.open("{log}", os.O_WRONLY | os.O_APPEND)'
    worker.write_text(WORKER.format(python=sys.executable, log=opened))
    worker.chmod(0o700)
    started: list[Watched] = []

    def start(program: Path = worker, **order: object) -> Watched:
        started.append(Watched(program, log, **order))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.communicate()


def test_it_tells_where_it_serves_once_all_workers_do(watch):
    watched = watch(workers=2)
    assert watched.news["address"].startswith("http://127.0.0.1:")
    assert watched.news["tasks"][0]["name"] == "t"
    assert len(watched.workers()) == 2
    port = int(watched.news["address"].rsplit(":", 1)[1])
    socket.create_connection(("127.0.0.1", port)).close()


@pytest.mark.parametrize(
    ("number", "word"), [(signal.SIGTERM, "drained"), (signal.SIGINT, "hurried")]
)
def test_signals_end_all_workers_in_their_way(watch, number, word):
    watched = watch(workers=2)
    watched.process.send_signal(number)
    assert watched.process.wait(30) == 0
    assert watched.log.read_text().splitlines()[2:] == [word, word]


def test_a_killed_worker_is_started_again(watch):
    watched = watch()
    first = watched.workers()[0]
    os.kill(first, signal.SIGKILL)
    watched.lines(lambda lines: len(lines) == 2)
    assert watched.workers()[1] != first
    watched.process.send_signal(signal.SIGTERM)
    assert watched.process.wait(30) == 0
    assert "was ended by SIGKILL; another one starts at once" in watched.process.stderr.read()


def test_workers_notice_when_it_is_gone(watch):
    watched = watch(workers=2)
    watched.process.kill()
    watched.process.wait()
    while watched.log.read_text().count("orphaned") < 2:
        pass


def test_workers_that_never_serve_are_not_started_for_ever(watch, tmp_path):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o700)
    watched = watch(broken)
    assert watched.process.wait(30) == 2
    assert "end before they serve" in watched.news["error"]


def test_a_port_in_use_is_news(watch):
    with socket.create_server(("127.0.0.1", 0)) as there:
        watched = watch(port=there.getsockname()[1])
        assert watched.process.wait(30) == 2
    assert "in use" in watched.news["error"]
    assert watched.workers() == []
