"""Every earlier version of the tables, with rows that it really wrote, becomes today's.

A new version needs only a new file in ``tests/unit/storage/ledgers``, which
``scripts/keep_ledger.py`` writes before the tables change.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from milepost.entities.errors import StorageError
from milepost.entities.task import Task
from milepost.storage import tables
from milepost.storage.ledger import Ledger
from milepost.storage.migrations.upgrade import VERSIONS
from milepost.storage.records.releases import content_digest
from milepost.testing.ledgers import Kept, dump_ledger, fill_ledger, load_ledger
from milepost.testing.records import chained, task_digest

FOLDER = Path(__file__).parents[1] / "unit" / "storage" / "ledgers"
UNCHANGEABLE = ("task_versions", "releases", "proposals", "approvals", "configurations", "audit")

NewUrl = Callable[[], str]


@pytest.fixture(params=sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def kept(request: pytest.FixtureRequest) -> Kept:
    return json.loads(request.param.read_text())


def tenants(kept: Kept) -> list[str]:
    return sorted({row["tenant"] for row in kept["tables"]["tasks"]})


def check(url: str, kept: Kept) -> None:
    """Everything that was kept is there, whole, and proved."""
    now = dump_ledger(url)
    assert now["version"] == VERSIONS[-1]
    for table, rows in kept["tables"].items():
        columns = list(rows[0]) if rows else []
        left = [{name: row[name] for name in columns} for row in now["tables"][table]]
        key = [column.name for column in tables.metadata.tables[table].primary_key]

        def order(row: dict[str, Any], key: list[str] = key) -> list[Any]:
            return [row[name] for name in key]

        assert sorted(left, key=order) == sorted(_booleans(table, rows), key=order)
    for tenant in tenants(kept):
        with Ledger.open(url, tenant=tenant) as ledger:
            count = sum(row["tenant"] == tenant for row in kept["tables"]["audit"])
            assert len(ledger.audit()) == count
            assert chained(ledger)
            for task in ledger.tasks():
                read(ledger, task)


def _booleans(table: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """SQLite may have kept them as numbers."""
    return [
        {
            name: bool(value)
            if isinstance(tables.metadata.tables[table].c[name].type, sa.Boolean)
            else value
            for name, value in row.items()
        }
        for row in rows
    ]


def read(ledger: Ledger, task: str) -> None:
    """Every record can be read, and every release is what its digest says."""
    assert ledger.task(task).task.name == task
    assert ledger.task_versions(task)
    releases = ledger.releases(task)
    assert releases
    for release in releases:
        assert release.digest == content_digest(release)
        assert ledger.approvals(task, release.number).release == release.number
    channel = ledger.channel(task)
    assert channel is not None
    assert channel.release in {release.number for release in releases}
    contests = ledger.contests(task)
    assert {release.contest for release in releases} <= {contest.id for contest in contests}
    for contest in contests:
        assert ledger.contest(contest.id) == contest
    assert ledger.looks(task)
    assert ledger.sides(task)
    assert ledger.latest_dataset(task, "examples")


def test_nothing_is_lost_and_all_is_proved(new_url: NewUrl, kept: Kept) -> None:
    url = new_url()
    load_ledger(url, kept)
    Ledger.open(url).close()
    check(url, kept)


def test_work_goes_on(new_url: NewUrl, kept: Kept) -> None:
    url = new_url()
    load_ledger(url, kept)
    with Ledger.open(url) as ledger:
        name = ledger.tasks()[0]
        task, before = ledger.task(name).task, len(ledger.audit())
        changed = Task(name=name, labels={"a": "", "b": ""}, instruction="changed")
        ledger.save_task(changed, task_digest(changed), "dan")
        ledger.save_task(task, task_digest(changed), "dan")
        channel = ledger.channel(name)
        assert channel is not None
        made = ledger.make_release(
            ledger.release(name, channel.release).candidate,
            expected_version=channel.version,
            reason="again",
        )
        assert made.number == max(r.number for r in ledger.releases(name))
        assert len(ledger.audit()) == before + 3
        assert chained(ledger)


def test_history_stays_unchangeable(new_url: NewUrl, kept: Kept) -> None:
    url = new_url()
    load_ledger(url, kept)
    with Ledger.open(url) as ledger:
        for name in UNCHANGEABLE:
            table = tables.metadata.tables[name]
            with ledger.database.read() as connection:
                filled = connection.scalar(sa.select(sa.func.count()).select_from(table))
            for statement in (sa.delete(table), sa.update(table).values(tenant="x")):
                if not filled:
                    continue
                with (
                    pytest.raises(StorageError, match="history is never changed"),
                    ledger.database.write("default") as connection,
                ):
                    connection.execute(statement)


class StoppedError(Exception):
    """Stands for whatever may end a migration."""


@contextmanager
def stopped_at(statement: int) -> Generator[list[str]]:
    """Any engine fails at its n-th writing statement."""
    seen: list[str] = []

    def watch(_connection: Any, _cursor: Any, text: str, *_rest: Any) -> None:
        if text.lstrip().upper().startswith(("CREATE", "ALTER", "INSERT", "UPDATE", "DROP")):
            seen.append(text)
            if len(seen) == statement:
                raise StoppedError

    sa.event.listen(sa.Engine, "before_cursor_execute", watch)
    try:
        yield seen
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", watch)


def test_wherever_a_migration_fails_the_old_version_is_whole(new_url: NewUrl, kept: Kept) -> None:
    url = new_url()
    load_ledger(url, kept)
    before = dump_ledger(url)
    failures, statement = 0, 1
    while True:
        try:
            with stopped_at(statement):
                Ledger.open(url).close()
            break
        except StoppedError:
            failures += 1
        assert dump_ledger(url) == before
        statement += 4
    assert (failures > 0) == (kept["version"] != VERSIONS[-1])
    check(url, kept)


KILLED = """
import os, signal, sys
import sqlalchemy as sa
from milepost.storage.ledger import Ledger

left = int(sys.argv[2])

def watch(connection, cursor, text, *rest):
    global left
    if text.lstrip().upper().startswith(("CREATE", "ALTER", "INSERT", "UPDATE", "DROP")):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sa.event.listen(sa.Engine, "after_cursor_execute", watch)
Ledger.open(sys.argv[1]).close()
"""


def test_a_killed_migration_is_as_if_it_had_not_begun(new_url: NewUrl, kept: Kept) -> None:
    if kept["version"] == VERSIONS[-1]:
        pytest.skip("today's version is not migrated")
    url, other = new_url(), new_url()
    for each in (url, other):
        load_ledger(each, kept)
    with stopped_at(0) as statements:
        Ledger.open(other).close()
    before = dump_ledger(url)
    for statement in (1, len(statements) // 2, len(statements)):
        done = subprocess.run([sys.executable, "-c", KILLED, url, str(statement)], timeout=120)
        assert done.returncode == -signal.SIGKILL
        assert dump_ledger(url) == before
    Ledger.open(url).close()
    check(url, kept)


def test_every_version_but_todays_has_kept_rows() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} >= set(VERSIONS[:-1])


def test_what_is_kept_of_today_holds_everything(new_url: NewUrl) -> None:
    first, second = new_url(), new_url()
    fill_ledger(first)
    kept = json.loads(json.dumps(dump_ledger(first)))
    assert kept["version"] == VERSIONS[-1]
    empty = {name for name, rows in kept["tables"].items() if not rows}
    assert not empty
    assert set(kept["tables"]) == set(tables.metadata.tables)
    load_ledger(second, kept)
    Ledger.open(second).close()
    assert dump_ledger(second) == kept
    check(second, kept)
