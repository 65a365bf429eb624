"""Copying a whole ledger, between every pair of databases: exact, or refused."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from milepost._base.clock import utc_now
from milepost.entities.errors import CorruptError, StorageError, WorkspaceError
from milepost.storage import tables
from milepost.storage.database import Database
from milepost.storage.ledger import Ledger
from milepost.storage.migrations.upgrade import VERSIONS, LedgerMovedError, upgrade
from milepost.storage.moving import Act, Arrival
from milepost.storage.transfer import canonical, counted, fill, parse, snapshot, tables_in

MOMENT = datetime(2026, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC)
ACT = Act("somebody", "ledger.moved", "milepost.toml", "for a reason", {"from": "a", "to": "b"})


def value(column: sa.Column, number: int) -> object:
    """A value that is easily damaged on the way."""
    if column.nullable and number % 3 == 0 and not column.primary_key:
        return None
    if isinstance(column.type, tables.UtcDateTime):
        return MOMENT.replace(microsecond=(number % 2) * 999_999)
    if isinstance(column.type, sa.Boolean):
        return number % 2 == 0
    if isinstance(column.type, sa.Float):
        return [0.1 + 0.2, -0.0, 1e-308, 123456789.123456789, float("inf")][number % 5]
    if isinstance(column.type, sa.BigInteger):
        return 2**53 + number
    if isinstance(column.type, sa.Integer):
        return number
    return f"{['é', 'Z', 'a', '😀', '_'][number % 5]}{number} \"'\\\n"


def put_odd_rows(database: Database, rows: int) -> None:
    """Rows of every table of tenants of their own; each refers to those before it."""
    with database.migrate() as connection:
        for table in tables.metadata.sorted_tables:
            connection.execute(
                sa.insert(table), [{c.name: reference(c, n) for c in table.columns}
                                   for n in range(1, rows + 1)]
            )  # fmt: skip


def reference(column: sa.Column, number: int) -> object:
    """The same value that the row of the same number has in the table it refers to."""
    while column.foreign_keys:
        column = next(iter(column.foreign_keys)).column
    if column.primary_key or column.unique or column.table.name == "task_versions":
        # Not nullable, and the same in all tables.
        return value(sa.Column(column.name, column.type, nullable=False), number)
    return value(column, number)


@pytest.fixture(params=["sqlite", "postgresql"])
def source_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return request.getfixturevalue("new_postgres_database")()
    return f"sqlite:///{tmp_path}/source.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def target_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return request.getfixturevalue("new_postgres_database")()
    return f"sqlite:///{tmp_path}/target.db"


@pytest.fixture
def source(source_url: str) -> Iterator[Ledger]:
    with Ledger.open(source_url) as ledger:
        yield ledger


@pytest.fixture
def target(target_url: str) -> Iterator[Arrival]:
    with closing(Database(target_url)) as database:
        yield Arrival(database, utc_now, tables.DEFAULT)


def content(database: Database) -> dict[str, object]:
    with database.read() as connection:
        return dict(counted(connection, tables_in(connection)))


def test_every_row_of_every_table_and_tenant_arrives(source: Ledger, target: Arrival) -> None:
    put_odd_rows(source.database, 1001)
    before = content(source.database)
    copied = target.take_over(source, "token", "sqlite:///x", ACT)
    target.finish()
    assert copied == before
    assert set(before) == set(tables.metadata.tables)
    after = content(target.database)
    assert {name for name in before if after[name] != before[name]} == {"audit"}
    with source.database.read() as one, target.database.read() as two:
        for table in tables.metadata.sorted_tables:
            if table.name != "audit":
                query = sa.select(table)
                assert set(one.execute(query)) == set(two.execute(query))


def test_the_old_ledger_refuses_every_write(source: Ledger, target: Arrival) -> None:
    put_odd_rows(source.database, 1)
    target.take_over(source, "token", "the new one", ACT)
    for table in tables.metadata.sorted_tables:
        row = {column.name: reference(column, 2) for column in table.columns}
        column = next(iter(table.columns))
        for statement in (sa.insert(table).values(row), sa.update(table).values({column: "x"}),
                          sa.delete(table)):  # fmt: skip
            with pytest.raises(StorageError), source.database.write("default") as connection:
                connection.execute(statement)
    with pytest.raises(LedgerMovedError) as told:
        Ledger.open(source.database.address.url.render_as_string(hide_password=False))
    assert told.value.address == "the new one"


def test_a_database_that_is_not_empty_is_refused(source: Ledger, target: Arrival) -> None:
    upgrade(target.database)
    put_odd_rows(target.database, 1)
    before = content(target.database)
    with pytest.raises(WorkspaceError, match="holds a ledger already"):
        target.take_over(source, "token", "x", ACT)
    assert content(target.database) == before
    put_odd_rows(source.database, 1)


def test_what_another_move_left_is_refused_and_the_same_one_begins_again(
    source: Ledger, target: Arrival
) -> None:
    names = [table.name for table in tables.metadata.sorted_tables]
    put_odd_rows(source.database, 3)
    with source.database.read() as connection:
        rows = {t.name: [parse(t, canonical(t, dict(row._mapping)))
                         for row in connection.execute(sa.select(t).order_by(*t.primary_key))]
                for t in tables.metadata.sorted_tables}  # fmt: skip
    for _ in range(2):
        target.fill_from(VERSIONS[-1], names, lambda table: rows[table.name], "one", ACT)
    with pytest.raises(WorkspaceError, match="another move or restore"):
        target.fill_from(VERSIONS[-1], names, lambda table: rows[table.name], "two", ACT)
    # In use since: it is no longer a beginning that may be thrown away.
    used = Ledger(target.database, utc_now, tables.DEFAULT)
    used.record_collected(1, 1, reason="used")
    with pytest.raises(WorkspaceError, match="another move or restore"):
        target.fill_from(VERSIONS[-1], names, lambda table: rows[table.name], "one", ACT)


def test_rows_that_are_stored_otherwise_are_refused(target: Arrival) -> None:
    upgrade(target.database)
    table = tables.pins
    good = {"tenant": "t", "owner": "o", "digest": "d", "created": MOMENT}
    with pytest.raises(StorageError, match="not stored as they were given"):  # noqa: SIM117
        with target.database.migrate() as connection:
            # Not in the order of the key.
            fill(connection, [table], lambda _: [{**good, "owner": "z"}, good])
    assert content(target.database)["pins"].rows == 0


def test_a_snapshot_sees_one_moment(source: Ledger, tmp_path: Path) -> None:
    put_odd_rows(source.database, 2)
    before = content(source.database)
    with snapshot(source.database, tmp_path) as connection:
        first = counted(connection, [tables.pins])
        # Writers are not held up while it is read.
        source.pin("somebody", ["0" * 64])
        assert counted(connection, [tables.pins]) == first
        assert counted(connection, tables_in(connection)) == before
    assert content(source.database) != before
    assert not list(tmp_path.glob(".snapshot-*"))


@pytest.mark.parametrize(
    "line",
    [b"", b"[]", b"{}", b'{"tenant": 1}', b'{"owner":"o","digest":"d","tenant":"t"}', b"\xff",
     b'{"created":"yesterday","digest":"d","owner":"o","tenant":"t"}'],
)  # fmt: skip
def test_lines_that_are_no_rows(line: bytes) -> None:
    with pytest.raises(CorruptError):
        parse(tables.pins, line)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(
    st.text(),
    st.floats(allow_nan=False) | st.none(),
    st.booleans(),
    st.integers(-(2**31), 2**31 - 1),
)
def test_a_line_reads_back_as_its_row(
    text: str, number: float | None, chosen: bool, position: int
) -> None:
    row = {column.name: reference(column, 1) for column in tables.candidates.columns}
    row |= {"record": text, "value": number, "chosen": chosen, "position": position}
    line = canonical(tables.candidates, row)
    assert line.count(b"\n") == 1
    assert parse(tables.candidates, line) == row
    assert canonical(tables.candidates, parse(tables.candidates, line)) == line
    assert parse(tables.candidates, line)["value"] == number
    assert json.loads(line)["record"] == text


def test_memory_stays_bounded(tmp_path: Path) -> None:
    """Sixty megabytes of rows are copied in less than half of that."""
    program = """
import resource, sys
from datetime import UTC, datetime
import sqlalchemy as sa
from milepost._base.clock import utc_now
from milepost.storage import tables
from milepost.storage.ledger import Ledger
from milepost.storage.database import Database
from milepost.storage.moving import Act, Arrival
source = Ledger.open(f"sqlite:///{sys.argv[1]}/a.db")
now = datetime(2026, 1, 1, tzinfo=UTC)
with source.database.migrate() as connection:
    for start in range(0, 30_000, 1000):
        connection.execute(sa.insert(tables.operations), [
            {"tenant": "t", "key": f"{n:08}", "request": "r", "result": "x" * 2000,
             "created": now, "actor": "a"} for n in range(start, start + 1000)])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
arrival = Arrival(Database(f"sqlite:///{sys.argv[1]}/b.db"), utc_now, "default")
copied = arrival.take_over(source, "token", "x", Act("a", "b", "c", "d", {}))
assert copied["operations"].rows == 30_000
sys.stdout.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 30_000, f"{done.stdout} KiB more"
