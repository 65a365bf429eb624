"""The database server goes away in the middle of a contest, and comes back sooner or later."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest


def program(name):
    found = shutil.which(name)
    # Debian keeps the server's programs off the path, newest version last.
    below = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda p: float(p.parts[4])
    )
    if not found and not below:
        pytest.skip("PostgreSQL's initdb and pg_ctl are not installed")
    return found or str(below[-1])


class Server:
    """A PostgreSQL server that this test alone starts and stops."""

    def __init__(self, folder):
        self.folder = folder
        self.run(program("initdb"), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C",
                 "-N")  # fmt: skip
        self.start()

    @property
    def url(self):
        return f"postgresql://postgres:s3cret@/postgres?host={self.folder}"

    def run(self, *command):
        user = ["runuser", "-u", "nobody", "--"] if os.geteuid() == 0 else []
        done = subprocess.run(
            [*user, command[0], "-D", str(self.folder / "data"), *command[1:]],
            capture_output=True,
            text=True,
            cwd=tempfile.gettempdir(),
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self):
        options = f"-c listen_addresses= -c unix_socket_directories={self.folder}"
        self.run(program("pg_ctl"), "-l", str(self.folder / "log"), "-o", options, "-w", "start")

    def stop(self):
        self.run(program("pg_ctl"), "-m", "immediate", "-w", "stop")


@pytest.fixture
def server():
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody")
        made = Server(folder)
        yield made
        with suppress(AssertionError):  # it may be stopped already
            made.stop()
    finally:
        shutil.rmtree(folder)


def in_the_middle(desk, moment, **plan):
    """A process that waits at a moment until it is told to go on."""
    process = desk.start(**{moment: "wait"}, **plan)
    until = time.monotonic() + 120
    while not (desk.signals / "there").exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until
        os.sched_yield()
    return process


def ended(desk, process):
    (desk.signals / "go").touch()
    out, err = process.communicate()
    return process.returncode, out, err


@pytest.mark.slow
def test_a_server_that_comes_back_soon_costs_nothing(make_desk, server):
    desk = make_desk("desk", ledger=server.url)
    process = in_the_middle(desk, "counted")
    server.stop()
    (desk.signals / "go").touch()
    until = time.monotonic() + 60
    while len(desk.fits) < 6:  # the strategy is done, and its result waits to be recorded
        assert time.monotonic() < until
        os.sched_yield()
    server.start()
    code, out, err = ended(desk, process)
    assert code == 0, err
    assert desk.workspace.contest("things").id == json.loads(out)["contest"]
    assert len(desk.fits) == 6
    assert len(desk.workspace.releases("things")) == 1


@pytest.mark.slow
def test_a_server_that_stays_away_is_a_clear_error_and_the_next_run_goes_on(make_desk, server):
    desk = make_desk("desk", ledger=server.url)
    process = in_the_middle(desk, "judging", reconnect=1.0)
    server.stop()
    code, out, err = ended(desk, process)
    assert (code, out) == (2, "")
    assert "cannot be reached" in err
    assert "it goes on after the last of the 5 finished steps" in err
    assert "s3cret" not in err
    server.start()
    (job,) = desk.workspace.jobs()
    assert job.status == "interrupted"
    code, out, err = desk.run()
    assert code == 0, err
    assert len(desk.fits) == 6
    assert len(desk.workspace.releases("things")) == 1
