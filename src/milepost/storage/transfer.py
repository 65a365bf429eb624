"""Copies a whole ledger: every row of every table and tenant, exactly, in bounded memory.

Which tables there are follows from ``tables.metadata``, so that a new one is never forgotten. What
was written is read back before it is committed: counts and digests of all rows must agree.
"""

import hashlib
import math
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Float, MetaData, Select, Table, Text, insert, inspect, select
from sqlalchemy.types import DateTime

from milepost.entities.backup import TableCount
from milepost.entities.errors import CorruptError, StorageError
from milepost.storage import tables
from milepost.storage.database import Database

Plain = dict[str, Any]
"""A row by column name, as SQLAlchemy takes and gives it."""

_AT_ONCE = 1000
_STREAMED = {"yield_per": _AT_ONCE}
_encode = msgspec.json.Encoder(order="sorted").encode


@contextmanager
def snapshot(database: Database, folder: Path) -> Generator[Connection]:
    """A connection that sees the ledger as it is at one moment, whatever others write meanwhile.

    PostgreSQL keeps old rows for a reader: a ``REPEATABLE READ`` transaction holds up nobody.
    SQLite without a write-ahead log lets no writer commit while somebody reads, so its pages are
    copied first, by its own backup function, and the copy is read: writers wait for the copying
    only, not for the reading.

    Args:
        database: The ledger.
        folder: Where SQLite's copy may lie meanwhile.

    Raises:
        StorageError: If the database cannot be read, or the copy not be written.
    """
    if not database.is_sqlite:
        with database.frozen() as connection:
            yield connection
        return
    with tempfile.TemporaryDirectory(dir=folder, prefix=".snapshot-") as scratch:
        file = Path(scratch) / "ledger.db"
        database.copy_pages(file)
        copy = Database(f"sqlite:///{file}")
        try:
            with copy.read() as connection:
                yield connection
        finally:
            copy.close()


def tables_in(connection: Connection, names: Iterable[str] | None = None) -> Sequence[Table]:
    """The ledger's tables, a table after those that it refers to.

    Args:
        connection: Read only where ``names`` are given.
        names: Those of an older version; ``None`` takes today's, as ``tables.metadata`` has them.

    Raises:
        CorruptError: If the database has no table of such a name.
    """
    if names is None:
        return tables.metadata.sorted_tables
    wanted = list(names)
    unknown = set(wanted) - set(inspect(connection).get_table_names())
    if unknown:
        raise CorruptError(f"a ledger has no table {min(unknown)!r}.")
    found = MetaData()
    found.reflect(connection, only=wanted)
    for table in found.tables.values():
        for column in table.columns:
            if isinstance(column.type, DateTime):
                column.type = tables.UtcDateTime()
    return [table for table in found.sorted_tables if table.name in wanted]


def rows_of(connection: Connection, table: Table) -> Iterator[Plain]:
    """All rows of a table in the order of its key, a thousand in memory at a time."""
    found = connection.execute(_in_order(connection, table), execution_options=_STREAMED)
    for row in found.mappings():
        yield {str(name): value for name, value in row.items()}


def canonical(table: Table, row: Mapping[str, Any]) -> bytes:
    """A row as one line of JSON that is the same on every database; ends with a line feed.

    Moments are UTC with microseconds as needed, floats have the fewest digits that read back to
    the same float, and those that JSON does not have are texts such as ``"nan"``. Zero has no sign:
    SQLite keeps none.
    """
    plain = dict(row)
    for column in table.columns:
        value = plain[column.name]
        if isinstance(column.type, Float) and value is not None:
            plain[column.name] = value + 0.0 if math.isfinite(value) else str(value)
    return _encode(plain) + b"\n"


def parse(table: Table, line: bytes) -> Plain:
    """The row that ``canonical`` wrote.

    Raises:
        CorruptError: If the line is not a row of that table.
    """
    try:
        plain = msgspec.json.decode(line, type=Plain)
        if set(plain) != {column.name for column in table.columns}:
            raise CorruptError(f"the columns are not those of the table {table.name!r}.")
        for column in table.columns:
            value = plain[column.name]
            if value is None:
                continue
            if isinstance(column.type, Float):
                plain[column.name] = float(value)
            elif isinstance(column.type, tables.UtcDateTime):
                plain[column.name] = datetime.fromisoformat(value)
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        raise CorruptError(f"this is not a row of the table {table.name!r}: {error}.") from error
    return plain


class Tally:
    """Counts and digests the rows of one table as they pass."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._rows = 0
        self._hash = hashlib.sha256()

    def add(self, row: Mapping[str, Any]) -> bytes:
        """Count a row; returns its canonical line."""
        line = canonical(self.table, row)
        self._rows += 1
        self._hash.update(line)
        return line

    @property
    def count(self) -> TableCount:
        """Rows so far, and the SHA-256 of their canonical lines in order."""
        return TableCount(rows=self._rows, sha256=self._hash.hexdigest())


def counted(connection: Connection, found: Iterable[Table]) -> dict[str, TableCount]:
    """Counts and digests of tables by name; equal exactly where all rows are equal."""
    result: dict[str, TableCount] = {}
    for table in found:
        tally = Tally(table)
        for row in rows_of(connection, table):
            tally.add(row)
        result[table.name] = tally.count
    return result


def fill(
    connection: Connection,
    found: Sequence[Table],
    rows: Callable[[Table], Iterable[Plain]],
) -> dict[str, TableCount]:
    """Put rows into empty tables, within the caller's transaction, and read them back.

    Args:
        connection: A transaction on the database that is filled.
        found: Its tables, a table after those that it refers to.
        rows: Gives a table's rows in the order of its key.

    Returns:
        Counts and digests by table.

    Raises:
        StorageError: If what is stored is not what was given; the caller's transaction must fail.
    """
    given: dict[str, TableCount] = {}
    for table in found:
        tally = Tally(table)
        source = iter(rows(table))
        while batch := list(islice(source, _AT_ONCE)):
            for row in batch:
                tally.add(row)
            connection.execute(insert(table), batch)
        given[table.name] = tally.count
    stored = counted(connection, found)
    wrong = [name for name, count in given.items() if stored[name] != count]
    if wrong:
        raise StorageError(
            f"the rows of {', '.join(wrong)} were not stored as they were given; nothing was kept.",
            advice="Try another database.",
        )
    return given


def _in_order(connection: Connection, table: Table) -> Select[Any]:
    keys = list(table.primary_key.columns)
    if connection.dialect.name == "postgresql":
        # SQLite compares texts by their bytes; so does PostgreSQL in this collation only.
        ordered = [key.collate("C") if isinstance(key.type, Text) else key for key in keys]
        return select(table).order_by(*ordered)
    return select(table).order_by(*keys)
