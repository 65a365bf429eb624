"""PostgreSQL killed and restarted under eight writers: nothing acknowledged is lost or doubled."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from milepost.storage import tables
from milepost.storage.ledger import Ledger
from milepost.workflows.upkeep.migrate_store import migrate_store

WRITERS = 8


class Server:
    """A PostgreSQL of the test's own that writes to the disk before it acknowledges."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs, self.folder = programs, folder

    def run(self, name: str, *arguments: str) -> None:
        user = ["runuser", "-u", "nobody", "--"] if os.geteuid() == 0 else []
        done = subprocess.run(
            [*user, str(self.programs / name), "-D", f"{self.folder}/data", *arguments],
            capture_output=True,
            text=True,
            cwd=tempfile.gettempdir(),
        )
        log = self.folder / "log"
        told = log.read_text() if log.exists() else ""
        assert done.returncode == 0, f"{done.stdout}{done.stderr}{told[-2000:]}"

    def make(self) -> None:
        self.run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C")
        self.start()

    def start(self) -> None:
        options = f"-c listen_addresses= -c unix_socket_directories={self.folder} -c fsync=on"
        self.run("pg_ctl", "-l", f"{self.folder}/log", "-o", options, "-w", "start")

    def crash(self) -> None:
        """Kill the server and all its sessions at once."""
        lock = self.folder / "data" / "postmaster.pid"
        pid = int(lock.read_text().split()[0])
        session = children(pid)
        for each in (pid, *session):
            os.kill(each, signal.SIGKILL)
        while any(Path(f"/proc/{each}").exists() and not zombie(each) for each in (pid, *session)):
            time.sleep(0.01)
        # In a container nobody may collect the dead, and their numbers look taken.
        for path in (lock, *self.folder.glob(".s.PGSQL.*.lock")):
            path.unlink(missing_ok=True)

    def stop(self) -> None:
        self.run("pg_ctl", "-m", "immediate", "-w", "stop")

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={self.folder}"


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.fixture
def server():
    found = shutil.which("initdb") or next(
        iter(map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")))), None
    )
    if not found or not Path("/proc/self/task").exists():
        pytest.skip("PostgreSQL's initdb and pg_ctl are not installed")
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody")
        made = Server(Path(found).parent, folder)
        made.make()
        yield made
        made.stop()
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    "crashes",
    [
        pytest.param(1, id="few"),
        pytest.param(5, id="many", marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
    ],
)
def test_server_killed_under_eight_writers(
    crashes, server, two_releases, tmp_path, warm, opened, sleep_until, invariants
):
    desk = Path(shutil.copytree(two_releases, tmp_path / "desk"))
    with opened(desk) as context:
        migrate_store(context, server.url)
    stop = tmp_path / "stop"
    writers = [
        warm.start("keyed_moves", url=server.url, writer=number, stop=stop)
        for number in range(WRITERS)
    ]

    def acknowledged(writer):
        return sum(line.startswith("done") for line in writer.lines)

    for number in range(crashes):
        before = [acknowledged(each) for each in writers]
        sleep_until(
            lambda before=before: all(
                acknowledged(each) > was for each, was in zip(writers, before, strict=True)
            )
        )
        if number % 2 == 0:
            server.crash()
        else:
            server.stop()
        server.start()
    seen = [acknowledged(each) for each in writers]
    sleep_until(
        lambda: all(acknowledged(each) > was for each, was in zip(writers, seen, strict=True))
    )
    stop.touch()
    assert [each.wait() for each in writers] == [0] * WRITERS, [each.said for each in writers]
    assert any("again" in each.said for each in writers)
    with Ledger.open(server.url) as ledger:
        invariants.of_ledger(ledger)
        with ledger.database.read() as connection:
            for number, writer in enumerate(writers):
                name = f"writer-{number}"
                stored = connection.scalars(
                    sa.select(tables.audit.c.details)
                    .where(tables.audit.c.actor == name)
                    .order_by(tables.audit.c.sequence)
                ).all()
                # Each acknowledged move is there once, and none that was not acknowledged.
                versions = [json.loads(details)["version"] for details in stored]
                assert versions == list(range(1, acknowledged(writer) + 1))
