"""What answers are recorded in goes away, fills up or hangs: answers go on, or say why not."""

import os
import shutil
import sqlite3
import subprocess
import tempfile
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest

MIB = 2**20


def program(name: str) -> str:
    found = shutil.which(name)
    below = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda p: float(p.parts[4])
    )
    if not found and not below:
        pytest.skip("PostgreSQL's initdb and pg_ctl are not installed")
    return found or str(below[-1])


class Database:
    """A PostgreSQL server that this test alone starts and stops."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run(program("initdb"), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C",
                 "-N")  # fmt: skip
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={self.folder}"

    def run(self, *command: str) -> None:
        user = ["runuser", "-u", "nobody", "--"] if os.geteuid() == 0 else []
        done = subprocess.run(
            [*user, command[0], "-D", str(self.folder / "data"), *command[1:]],
            capture_output=True, text=True, cwd=tempfile.gettempdir(),
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        options = f"-c listen_addresses= -c unix_socket_directories={self.folder}"
        self.run(program("pg_ctl"), "-l", str(self.folder / "log"), "-o", options, "-w", "start")

    def stop(self) -> None:
        self.run(program("pg_ctl"), "-m", "immediate", "-w", "stop")


@pytest.fixture
def database():
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody")
        made = Database(folder)
        yield made
        with suppress(AssertionError):  # it may be stopped already
            made.stop()
    finally:
        shutil.rmtree(folder)


def pause(seconds: float) -> None:
    threading.Event().wait(seconds)


@pytest.mark.slow
def test_a_database_that_restarts_five_times_is_not_noticed(
    improved, milepost, database, serve, load, missing, figures
):
    milepost.ok("-w", improved, "migrate-store", database.url)
    server = serve(improved, "--insecure")
    with load(server.address, rate=100) as good:
        good.until(100)
        for _ in range(5):
            database.stop()
            good.until(100)
            database.start()
            good.until(100)
        good.until(200)
    traffic = good.stop()
    assert server.stop() == 0
    kept = len(traffic.traces) - len(missing(improved, traffic.traces))
    figures(
        good_share=traffic.share, kept_share=kept / len(traffic.traces),
        p99_ms=traffic.p(0.99) * 1e3,
    )  # fmt: skip
    assert traffic.share >= 0.999, traffic.failed
    # A buffer bridges the moments without a database.
    assert kept == len(traffic.traces)


@pytest.mark.slow
def test_in_strict_mode_nothing_is_answered_while_the_database_is_away(
    improved, milepost, database, serve, load, strict, missing, figures
):
    milepost.ok("-w", improved, "migrate-store", database.url)
    strict(improved)
    server = serve(improved, "--insecure")
    with load(server.address, rate=50) as good:
        good.until(50)
        database.stop()
        pause(3)
        database.start()
        good.until(50)
    traffic = good.stop()
    server.stop()
    lost = missing(improved, traffic.traces)
    figures(acknowledged=len(traffic.traces), lost=len(lost), refused=traffic.failed.total())
    assert lost == []
    assert traffic.failed
    assert {reason.split()[0] for reason in traffic.failed} == {"503"}


@pytest.mark.slow
def test_a_locked_ledger_holds_no_answer_up(improved, serve, load, missing, figures):
    server = serve(improved, "--insecure")
    with load(server.address, rate=100) as good:
        good.until(50)
        with closing(sqlite3.connect(improved / ".milepost/ledger.db", isolation_level=None)) as db:
            db.execute("BEGIN EXCLUSIVE")
            good.until(300)
            db.execute("ROLLBACK")
        good.until(100)
    traffic = good.stop()
    assert server.stop() == 0
    kept = len(traffic.traces) - len(missing(improved, traffic.traces))
    figures(good_share=traffic.share, kept_share=kept / len(traffic.traces),
            p99_ms=traffic.p(0.99) * 1e3)  # fmt: skip
    assert traffic.share >= 0.999, traffic.failed
    assert kept == len(traffic.traces)


@pytest.fixture
def small_disk(tmp_path):
    root = tmp_path / "disk"
    root.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(root)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    yield root
    subprocess.run(["umount", "-l", str(root)], check=True)


@pytest.mark.slow
def test_a_full_disk_costs_traces_and_no_answer(
    improved, serve, load, memory, small_disk, figures, steps
):
    config = improved / "milepost.toml"
    lines = [line for line in config.read_text().splitlines() if not line.startswith("traces")]
    config.write_text("\n".join([f'traces = "{small_disk}/traces"', *lines, ""]))
    server = serve(improved, "--insecure")
    filler = small_disk / "filler"
    with load(server.address, rate=100) as good:
        good.until(50)
        free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
        filler.write_bytes(b"x" * free)
        with memory(server) as taken:
            good.until(400)
        filler.unlink()
        good.until(100)
    traffic = good.stop()
    assert server.stop() == 0
    figures(good_share=traffic.share, memory_mib=taken.grown / MIB, p99_ms=traffic.p(0.99) * 1e3)
    assert traffic.share >= 0.999, traffic.failed
    assert taken.grown < 100 * MIB
