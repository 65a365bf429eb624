"""What is acknowledged is on the disk: shown by the system calls of a promotion and a put."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from milepost.storage.files.artifacts import open_artifacts

CALL = re.compile(r"^(?:\[pid +\d+\] |\d+ +)?(\w+)\((.*)\) = (-?\d+)(?:<([^>]*)>)?")
TRACED = (
    "openat,fsync,fdatasync,write,pwrite64,rename,renameat,renameat2,unlink,unlinkat,link,linkat"
)


class Trace:
    """System calls in order: name, arguments with the paths of descriptors, result."""

    def __init__(self, text: str) -> None:
        self.calls = [
            (found[1], found[2]) for line in text.splitlines() if (found := CALL.match(line))
        ]

    def at(self, names: tuple[str, ...], *words: str, start: int = 0) -> list[int]:
        return [
            number
            for number, (name, given) in enumerate(self.calls)
            if number >= start and name in names and all(word in given for word in words)
        ]


@pytest.fixture
def traced(tmp_path, environment):
    """Runs a Python program and gives its trace."""
    strace = shutil.which("strace")
    if not strace or subprocess.run([strace, "-V"], capture_output=True).returncode != 0:
        pytest.skip("strace is not installed")
    trial = subprocess.run([strace, "-f", "-e", "trace=none", "true"], capture_output=True)
    if trial.returncode != 0:
        pytest.skip("processes cannot be traced here")

    def run(program: str, *arguments: object) -> Trace:
        file = tmp_path / "trace"
        done = subprocess.run(
            [strace, "-f", "-y", "-s", "300", "-e", f"trace={TRACED}", "-o", file,
             sys.executable, "-c", program, *map(str, arguments)],
            env=environment, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return Trace(file.read_text())

    return run


SYNC = ("fsync", "fdatasync")
WRITE = ("write", "pwrite64")
GONE = ("unlink", "unlinkat")

PROMOTE = """
import sys
from milepost.cli.app import run
sys.exit(run(["-w", sys.argv[1], "promote", "route", "1"]))
"""


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_a_promotion_is_on_the_disk_before_it_is_said(desk, traced):
    trace = traced(PROMOTE, desk)
    said = trace.at(("write",), "is now release 1")
    assert len(said) == 1
    database = str(desk / ".milepost" / "ledger.db")
    written = [n for n in trace.at(WRITE, f"<{database}>") if n < said[0]]
    assert written, "nothing was written"
    # With a rollback journal, a commit is the removal of the journal.
    commits = [n for n in trace.at(GONE, f"{database}-journal") if n < said[0]]
    if not commits:
        pytest.skip("this SQLite uses a write-ahead log")
    commit, last = commits[-1], written[-1]
    journal = [n for n in trace.at(SYNC, f"<{database}-journal>") if n < last]
    assert journal, "the journal must be on the disk before the pages are changed"
    pages = [n for n in trace.at(SYNC, f"<{database}>") if last < n < commit]
    assert pages, "the pages must be on the disk before the journal goes"
    folder = [n for n in trace.at(SYNC, f"<{desk / '.milepost'}>") if commit < n < said[0]]
    assert folder, "that the journal is gone must be on the disk before it is said"


PUT = """
import sys
from pathlib import Path
from milepost.storage.files.artifacts import open_artifacts
digest = open_artifacts(Path(sys.argv[1])).put(b"what is stored")
sys.stdout.write(f"stored {digest}")
"""


def test_an_artifact_is_on_the_disk_before_it_is_said(tmp_path, traced):
    root = tmp_path / "artifacts"
    trace = traced(PUT, root)
    said = trace.at(("write",), "stored ")[-1]
    named = [
        n
        for n in trace.at(("rename", "renameat", "renameat2", "link", "linkat"), str(root))
        if n < said
    ]
    assert len(named) == 1
    call = trace.calls[named[0]][1]
    temporary, final = re.findall(r'"([^"]+)"', call)[:2]
    assert temporary != final
    data = trace.at(SYNC, f"<{temporary}>")
    assert data, "the bytes were never flushed"
    assert data[-1] < named[0], "the bytes must be on the disk before they get their name"
    folder = [n for n in trace.at(SYNC, f"<{Path(final).parent}>") if named[0] < n < said]
    assert folder, "the name must be on the disk before it is said"


def test_bytes_that_another_process_put_are_on_the_disk_before_they_are_said(tmp_path, traced):
    root = tmp_path / "artifacts"
    digest = open_artifacts(root).put(b"what is stored")
    trace = traced(PUT, root)
    said = trace.at(("write",), "stored ")[-1]
    assert not trace.at(("rename", "renameat", "renameat2"), digest)
    # Whoever put them may have been killed before it flushed any of the names.
    folder = root / digest[:2] / digest[2:4]
    for each in (folder, folder.parent, root, root.parent):
        flushed = trace.at(SYNC, f"<{each}>")
        assert flushed, each
        assert flushed[0] < said
