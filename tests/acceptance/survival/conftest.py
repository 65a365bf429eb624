"""Children that are killed, workspaces for them, and what must hold whatever happened."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa

import milepost as mp
from milepost.storage import tables
from milepost.storage.chain import GENESIS, entry_hash
from milepost.storage.ledger import Ledger
from milepost.workflows.context import Context
from milepost.workflows.opening import open_context
from milepost.workflows.release.bundles import load_bundle
from milepost.workflows.upkeep.migrate_store import migrate_store

DRIVER = Path(__file__).with_name("warm_driver.py")
TICKETS = Path(__file__).parents[1] / "data" / "tickets.csv"


@dataclass
class Child:
    """A forked process of the driver."""

    warm: "Warm"
    pid: int
    out: Path
    code: int | None = None

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        if self.code is None:
            self.code = int(self.warm.ask({"wait": self.pid}))
        return self.code

    @property
    def said(self) -> str:
        return self.out.read_text() if self.out.exists() else ""

    @property
    def lines(self) -> list[str]:
        """Whole lines: the last one may have been cut off."""
        return self.said.split("\n")[:-1]


@dataclass
class Warm:
    """The driver: starts children at once, because nothing is left to import."""

    process: subprocess.Popen[str]
    folder: Path
    count: int = 0
    children: list[Child] = field(default_factory=list)

    def ask(self, job: object) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        assert answer, "the driver has ended"
        return answer

    def start(self, does: str, **given: object) -> Child:
        self.count += 1
        out = self.folder / f"child-{self.count}"
        plain = {k: str(v) if isinstance(v, Path) else v for k, v in given.items()}
        child = Child(self, int(self.ask({"does": does, "out": str(out), **plain})), out)
        self.children.append(child)
        return child

    def command(self, *arguments: object) -> Child:
        return self.start("command", arguments=[str(each) for each in arguments])

    def run(self, *arguments: object) -> Child:
        child = self.command(*arguments)
        child.wait()
        return child


@pytest.fixture
def warm(tmp_path, environment) -> Iterator[Warm]:
    """Starts commands in children that are forked from a process with everything imported."""
    folder = tmp_path / "children"
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, DRIVER],
        cwd=tmp_path,
        env={**environment, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    started = Warm(process, folder)
    yield started
    for child in started.children:
        if child.code is None:
            child.kill()
            child.wait()
    process.stdin.close()
    assert process.wait() == 0
    process.stdout.close()


@pytest.fixture
def moments() -> random.Random:
    """The same random moments at every run."""
    return random.Random(20260131)  # noqa: S311


@pytest.fixture
def sleep_until() -> Callable[[Callable[[], object]], None]:
    """Wait for a condition, at most a minute."""

    def wait(condition: Callable[[], object]) -> None:
        until = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < until
            time.sleep(0.005)

    return wait


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request) -> str:
    """The database of a workspace's ledger."""
    return request.param


@pytest.fixture
def new_server_database(new_postgres_database) -> Callable[[], str]:
    """Makes databases on the server; an address that is written to a file has no password."""
    return lambda: new_postgres_database().replace(":s3cret@", "@")


@pytest.fixture
def new_database(kind, request, tmp_path) -> Callable[[], str]:
    """Makes addresses of databases with nothing in them."""
    if kind == "postgresql":
        return request.getfixturevalue("new_server_database")
    names = iter(range(1000))
    return lambda: f"sqlite:///{tmp_path}/ledger-{next(names)}.db"


@contextmanager
def _opened(folder: Path) -> Iterator[Context]:
    context = open_context(folder)
    with context.ledger:
        yield context


@pytest.fixture
def opened() -> Callable[[Path], AbstractContextManager[Context]]:
    """Opens a workspace's rooms, and closes its ledger in the end."""
    return _opened


@pytest.fixture(scope="session")
def two_releases(shared_folder, environment) -> Path:
    """A workspace whose task ``route`` has two releases."""
    place = shared_folder / "two-releases"
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        # Several test processes may each make one; the first to finish wins.
        draft = place.with_name(f"two-releases-{os.getpid()}")
        shutil.rmtree(draft, ignore_errors=True)
        ws = mp.Workspace.from_file(
            draft, TICKETS, task="route", objective=mp.Objective(at_least=0.1)
        )[0]
        ws.improve("route", strategies=["tfidf_linear"])
        chosen = ws.contest("route").chosen
        assert chosen is not None
        with _opened(draft) as context:
            context.ledger.make_release(chosen.id, expected_version=1, reason="again")
        try:
            draft.rename(place)
        except OSError:
            shutil.rmtree(draft)
    return place


@pytest.fixture
def desk(kind, two_releases, tmp_path, request) -> Path:
    """A copy of it, its ledger on either database."""
    folder = Path(shutil.copytree(two_releases, tmp_path / "desk"))
    if kind == "postgresql":
        with _opened(folder) as context:
            migrate_store(context, request.getfixturevalue("new_server_database")())
    return folder


@dataclass(frozen=True)
class Invariants:
    """What holds in every ledger at every moment, whoever was killed."""

    def of_ledger(self, ledger: Ledger) -> None:
        with ledger.database.read() as connection:

            def rows(query: sa.Select) -> list[sa.Row]:
                return list(connection.execute(query))

            audit = rows(sa.select(tables.audit).order_by("tenant", "sequence"))
            self.chained(audit)
            contests = rows(sa.select(tables.contests))
            candidates = rows(sa.select(tables.candidates))
            releases = rows(sa.select(tables.releases))
            channels = rows(sa.select(tables.channels))
            tasks = rows(sa.select(tables.tasks))
            versions = rows(sa.select(tables.task_versions))
        entries = {(e.action, e.subject) for e in audit}
        of_contest = {each.id: [c for c in candidates if c.contest == each.id] for each in contests}
        assert all(of_contest.values()), "a contest without candidates"
        for contest in contests:
            positions = sorted(c.position for c in of_contest[contest.id])
            assert positions == list(range(len(positions))), "a contest that is half there"
            released = [r for r in releases if r.contest == contest.id]
            assert released or contest.verdict != "released", "a verdict without its release"
        for release in releases:
            assert ("release.made", f"{release.task}#{release.number}") in entries
            assert release.digest
        for task in {release.task for release in releases}:
            numbers = sorted(r.number for r in releases if r.task == task)
            assert numbers == list(range(1, len(numbers) + 1))
        for channel in channels:
            subject = f"{channel.task}@{channel.name}"
            moves = [json.loads(e.details) for e in audit
                     if e.subject == subject and e.action == "channel.moved"]  # fmt: skip
            assert len(moves) == channel.version, "moves and entries do not agree"
            assert moves[-1]["to"] == channel.release
            assert moves[-1]["version"] == channel.version
        for task in tasks:
            assert any(v.task == task.name and v.digest == task.version for v in versions)

    def chained(self, audit: list[sa.Row]) -> None:
        heads: dict[str, tuple[int, str]] = {}
        for row in audit:
            sequence, before = heads.get(row.tenant, (0, GENESIS))
            assert row.sequence == sequence + 1, "the audit log has a gap"
            plain = dict(row._mapping)
            stored = plain.pop("hash")
            assert stored == entry_hash(before, **plain), "the audit log breaks"
            heads[row.tenant] = (row.sequence, stored)

    def of_workspace(self, folder: Path) -> None:
        with _opened(folder) as context:
            self.of_ledger(context.ledger)
            for release in context.ledger.releases("route"):
                load_bundle(context, release.bundle)
            with context.ledger.database.read() as connection:
                held = connection.scalars(sa.select(tables.datasets.c.artifact)).all()
            for digest in held:
                context.artifacts.get(digest)


@pytest.fixture
def invariants() -> Invariants:
    return Invariants()
