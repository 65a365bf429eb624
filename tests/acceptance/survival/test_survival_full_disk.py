"""A disk that fills up at every place that is written: a clear error, the old state, recovery."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

MEGABYTES = 4


@dataclass(frozen=True)
class Disk:
    """A small file system in memory."""

    root: Path

    @property
    def desk(self) -> Path:
        return self.root / "desk"

    def fill(self, leave: int) -> None:
        """Take all space but ``leave`` kB."""
        left = os.statvfs(self.root)
        free = left.f_bavail * left.f_frsize
        with (self.root / "filler").open("wb") as file:
            file.write(b"x" * max(0, free - leave * 1024))

    def free(self) -> None:
        (self.root / "filler").unlink()


@pytest.fixture
def disk(tmp_path) -> Iterator[Disk]:
    root = tmp_path / "disk"
    root.mkdir()
    size = f"size={MEGABYTES}m"
    mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(root)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield Disk(root)
    finally:
        subprocess.run(["umount", "-l", str(root)], check=True)


@pytest.fixture
def kind() -> str:
    return "sqlite"


ON_DESK = {
    "add": ["-w", "{desk}", "add", "more", "{tickets}"],
    "improve": ["-w", "{desk}", "improve", "route", "--strategy", "tfidf_linear", "--seed", "7"],
    "promote": ["-w", "{desk}", "promote", "route", "1"],
    "rollback": ["-w", "{desk}", "rollback", "route"],
    "report": ["-w", "{desk}", "report", "route", "--output", "{disk}/report.html"],
    "export": ["-w", "{desk}", "export", "route", "{disk}/exported"],
    "backup": ["-w", "{desk}", "backup", "{disk}/backups"],
    "restore": ["restore", "{outside}", "{disk}/again"],
    "init": ["init", "{disk}/new", "--from", "{tickets}"],
    "gc": ["-w", "{desk}", "gc"],
    "verify": ["-w", "{desk}", "verify"],
    "audit": ["-w", "{desk}", "audit", "verify"],
    "lineage": ["-w", "{desk}", "lineage", "route@production", "--output", "{disk}/lineage.svg"],
    "card": ["-w", "{desk}", "card", "route", "--output", "{disk}/card.md"],
    "vectors": ["-w", "{desk}", "improve", "route", "--strategy", "head_closed_form"],
    "migrate-store": ["-w", "{desk}", "migrate-store", "sqlite:///.milepost/other.db"],
}
FEW = [("improve", 40), ("promote", 0), ("backup", 60), ("restore", 200), ("init", 12)]
LEVELS = (0, 8, 24, 64, 160, 400)


@pytest.fixture
def full(disk, two_releases, tmp_path, warm, invariants):
    """Runs a command on a disk that has only so much space left, and looks at what it did."""
    tickets = Path(__file__).parents[1] / "data" / "tickets.csv"

    def check(name: str, leave: int) -> None:
        for path in disk.root.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(two_releases, disk.desk)
        places = {"desk": disk.desk, "disk": disk.root, "tickets": tickets,
                  "outside": tmp_path / "outside"}  # fmt: skip
        command = [part.format_map(places) for part in ON_DESK[name]]

        def predicted() -> str:
            answer = warm.run("-w", disk.desk, "predict", "route", "--release", "2", "my card",
                              "--json")  # fmt: skip
            assert answer.code == 0, answer.said
            return answer.said

        if name == "restore" and not places["outside"].exists():
            made = warm.run("-w", disk.desk, "backup", places["outside"])
            assert made.code == 0, made.said
        answer = predicted()
        disk.fill(leave)
        tried = warm.run(*command)
        told = f"{name} with {leave} kB left: {tried.code}\n{tried.said}"
        assert "Traceback" not in tried.said, told
        assert tried.code in {0, 1, 2}, told
        if tried.code == 2:
            assert tried.said.count("error: ") == 1, told
        assert predicted() == answer, told
        invariants.of_workspace(disk.desk)
        disk.free()
        if tried.code == 2:
            again = warm.run(*command)
            assert again.code in {0, 1}, f"{told}\nafterwards: {again.said}"
        invariants.of_workspace(disk.desk)
        assert predicted() == answer, told

    return check


def test_a_full_disk_few(full):
    for name, leave in FEW:
        full(name, leave)


FOR_GOOD = ("add", "backup", "improve", "init", "promote", "restore")
"""Commands that write what must not be lost; the others have their turn in the exhaustive run."""


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in FOR_GOOD else pytest.mark.exhaustive)
        for name in ON_DESK
    ],
)
def test_a_full_disk(full, name):
    for leave in LEVELS:
        full(name, leave)
