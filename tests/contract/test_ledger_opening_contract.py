"""Opening a ledger: one suite over SQLite and PostgreSQL."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from milepost.entities.errors import UnknownNameError, WorkspaceError
from milepost.storage import tables
from milepost.storage.ledger import Ledger
from milepost.testing.records import TASK, some_contest, task_digest

DIGEST = task_digest(TASK)
Released = Callable[[Ledger, int, int], int]


def test_tenants_do_not_see_each_other(new_url: Callable[[], str], released: Released) -> None:
    url = new_url()
    with Ledger.open(url) as one, Ledger.open(url, tenant="two") as two:
        one.save_task(TASK, DIGEST)
        released(one, 1, 0)
        assert two.tasks() == ()
        assert two.audit() == ()
        with pytest.raises(UnknownNameError):
            two.contest(some_contest(1).id)
        two.save_task(TASK, DIGEST)
        assert released(two, 1, 0) == 1
        assert [entry.sequence for entry in two.audit(2)] == [5, 4]


def test_what_is_written_is_there_after_opening_again(
    new_url: Callable[[], str], released: Released
) -> None:
    url = new_url()
    with Ledger.open(url) as one:
        one.save_task(TASK, DIGEST)
        released(one, 1, 0)
    with Ledger.open(url) as again:
        assert again.releases("route")[0].number == 1
        assert again.contest(some_contest(1).id) == replace(some_contest(1), release=1)


OPENER = """
import sys
from milepost._base.digest import digest_of
from milepost.entities.task import Task
from milepost.storage.ledger import Ledger
task = Task(name="t" + sys.argv[1], labels={"a": "", "b": ""})
print("ready", flush=True)
for line in sys.stdin:
    with Ledger.open(line.strip()) as ledger:
        assert ledger.save_task(task, digest_of(task))
    print("saved", flush=True)
"""


def test_processes_open_a_fresh_ledger_at_once(new_url: Callable[[], str]) -> None:
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", OPENER, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(8)
    ]

    def answers() -> list[str]:
        return [process.stdout.readline().strip() for process in running if process.stdout]

    assert answers() == ["ready"] * 8
    for _ in range(5):
        url = new_url()
        for process in running:
            assert process.stdin is not None
            process.stdin.write(f"{url}\n")
            process.stdin.flush()
        assert answers() == ["saved"] * 8
        with Ledger.open(url) as ledger:
            assert len(ledger.tasks()) == 8
    for process in running:
        process.communicate()
    assert [process.returncode for process in running] == [0] * 8


def test_threads_open_a_fresh_ledger_at_once(new_url: Callable[[], str]) -> None:
    url = new_url()
    with ThreadPoolExecutor(8) as pool:
        for ledger in pool.map(lambda _: Ledger.open(url), range(8)):
            assert ledger.tasks() == ()
            ledger.close()


def test_a_ledger_of_a_newer_version_is_refused(new_url: Callable[[], str]) -> None:
    url = new_url()
    with Ledger.open(url) as ledger, ledger.database.write("default") as connection:
        connection.execute(sa.text("UPDATE milepost_version SET version_num = '9999'"))
    with pytest.raises(WorkspaceError, match=r"newer milepost .* 9999.*pip install --upgrade"):
        Ledger.open(url)


def test_migrations_make_exactly_the_tables(new_url: Callable[[], str]) -> None:
    def described(url: str) -> dict[str, object]:
        engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        look = sa.inspect(engine)
        found: dict[str, object] = {
            name: {
                "columns": [
                    (c["name"], str(c["type"]), c["nullable"], c["default"])
                    for c in look.get_columns(name)
                ],
                "key": look.get_pk_constraint(name),
                "foreign": sorted(look.get_foreign_keys(name), key=str),
                "unique": sorted(look.get_unique_constraints(name), key=str),
                "indexes": sorted(look.get_indexes(name), key=str),
            }
            for name in look.get_table_names()
            if name != "milepost_version"
        }
        engine.dispose()
        return found

    migrated, made = new_url(), new_url()
    Ledger.open(migrated).close()
    engine = sa.create_engine(made.replace("postgresql:", "postgresql+psycopg:"))
    tables.metadata.create_all(engine)
    engine.dispose()
    assert described(migrated) == described(made)
    assert set(described(made)) == set(tables.metadata.tables)
