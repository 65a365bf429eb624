"""A PostgreSQL whose disk fills up: a clear error, the old state, recovery without help."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from milepost.workflows.upkeep.migrate_store import migrate_store

MEGABYTES = 32
"""An empty database of PostgreSQL 15 takes 8 of them, the ledger two or three."""
LEVELS = (0, 16, 64, 256)
ON_LEDGER = {
    "improve": ["improve", "route", "--strategy", "tfidf_linear", "--seed", "7"],
    "promote": ["promote", "route", "1"],
    "add": ["upstreams", "add", "big{n}", "--wire", "fake", "--model", "m", "--price-in", "1",
            "--price-out", "1"],
    "budget": ["budget", "set", "workspace", "{n}"],
}  # fmt: skip


@dataclass(frozen=True)
class Space:
    """A tablespace on a small file system in memory, and the address of a database in it."""

    root: Path
    url: str

    def fill(self, leave: int) -> None:
        """Take all space but ``leave`` kB."""
        left = os.statvfs(self.root)
        with (self.root / "filler").open("wb") as file:
            file.write(b"x" * max(0, left.f_bavail * left.f_frsize - leave * 1024))

    def free(self) -> None:
        (self.root / "filler").unlink()


@pytest.fixture
def space(postgres_socket) -> Iterator[Space]:
    import psycopg

    # The server, which is not root, must reach it.
    root = Path(tempfile.mkdtemp(prefix="pgs-", dir="/tmp"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m,mode=755", "tmpfs", str(root)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        root.rmdir()
        pytest.skip("a small file system cannot be mounted here")
    name = f"small{uuid4().hex}"
    try:
        (root / "space").mkdir(mode=0o700)
        shutil.chown(root / "space", "nobody")
        with psycopg.connect(
            host=str(postgres_socket), user="postgres", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(f"CREATE TABLESPACE {name} LOCATION '{root}/space'".encode())
            connection.execute(f"CREATE DATABASE {name} TABLESPACE {name}".encode())
            try:
                yield Space(root, f"postgresql://postgres@/{name}?host={postgres_socket}")
            finally:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
                connection.execute(f"DROP TABLESPACE {name}".encode())
    finally:
        subprocess.run(["umount", "-l", str(root)], check=True)
        root.rmdir()


FULL = ("the disk of the ledger is full", "the database server cannot write: its disk is full")


@pytest.fixture
def full(space, two_releases, tmp_path, warm, opened, invariants):
    """Runs a command while the database has only so much space left; gives its exit code."""
    desk = Path(shutil.copytree(two_releases, tmp_path / "desk"))
    with opened(desk) as context:
        migrate_store(context, space.url)
    asked = ("-w", desk, "predict", "route", "--release", "2", "my card", "--json")
    answer = warm.run(*asked).said
    tries = iter(range(1, 1000))

    def check(name: str, leave: int) -> int:
        n = next(tries)
        command = ["-w", desk, *(part.format(n=n) for part in ON_LEDGER[name])]
        space.fill(leave)
        tried = warm.run(*command)
        told = f"{name} with {leave} kB left: {tried.code}\n{tried.said}"
        assert "Traceback" not in tried.said, told
        assert tried.code in {0, 1, 2}, told
        if tried.code == 2:
            assert tried.said.count("error: ") == 1, told
            # How full decides whether the server refuses the connection or what is written.
            assert any(each in tried.said for each in FULL), told
        # PostgreSQL refuses a new connection where it cannot write what it caches for one.
        seen = warm.run(*asked)
        assert seen.said == answer or (seen.code == 2 and FULL[1] in seen.said), told + seen.said
        space.free()
        assert warm.run(*asked).said == answer, told
        invariants.of_workspace(desk)
        if tried.code == 2:
            again = warm.run(*command)
            assert again.code in {0, 1}, f"{told}\nafterwards: {again.said}"
        invariants.of_workspace(desk)
        return tried.code

    return check


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_full_disk_under_the_server(full):
    codes = [full(name, leave) for leave in LEVELS for name in ON_LEDGER]
    # With nothing left at all a contest, whose rows are long, cannot have been written.
    assert codes[0] == 2
    assert codes[-1] == 0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_moving_to_a_server_whose_disk_is_full(
    space, two_releases, tmp_path, warm, opened, invariants
):
    desk = Path(shutil.copytree(two_releases, tmp_path / "desk"))
    for leave in (0, 512):
        space.fill(leave)
        tried = warm.run("-w", desk, "migrate-store", space.url)
        assert tried.code == 2, tried.said
        assert "full" in tried.said
        assert "Traceback" not in tried.said
        space.free()
        invariants.of_workspace(desk)
    done = warm.run("-w", desk, "migrate-store", space.url)
    assert done.code == 0, done.said
    with opened(desk) as context:
        assert context.ledger.database.address.label.startswith("postgresql://")
    invariants.of_workspace(desk)
