"""What the parts of the ledger share: JSON text, positions, and how unknown names are answered."""

import json
from collections.abc import Sequence
from typing import TypeVar

import msgspec
from sqlalchemy import Column, ColumnElement, Connection, Table, func, select

from milepost._base.clock import Clock
from milepost.entities.errors import CorruptError, StorageError, UnknownNameError
from milepost.storage import tables
from milepost.storage.database import Database

_Record = TypeVar("_Record")

_OFFERED = 1000

IN_PARTS = 500
"""Values asked for in one statement: databases bound how many a statement may have."""


class Records:
    """A ledger's connection, clock and tenant.

    Args:
        database: Where the tables are.
        clock: Gives the time that is written into rows.
        tenant: Whose rows are read and written; rows of others are never seen.
        role: Role of whoever acts, for the audit log.
    """

    def __init__(
        self, database: Database, clock: Clock, tenant: str, role: str = tables.OWNER
    ) -> None:
        self.database = database
        self.clock = clock
        self.tenant = tenant
        self.role = role

    def _require_task(self, connection: Connection, name: str) -> None:
        """Raise ``UnknownNameError`` if there is no such task."""
        table = tables.tasks
        found = connection.scalar(
            select(table.c.version).where(table.c.tenant == self.tenant, table.c.name == name)
        )
        if found is None:
            raise self._unknown(connection, "task", name, table.c.name)

    def _unknown(
        self,
        connection: Connection,
        kind: str,
        name: str,
        column: Column[str] | Column[int],
        *where: ColumnElement[bool],
    ) -> UnknownNameError:
        """The error for a name that is not in ``column``, with the nearest that is."""
        table = column.table
        known = connection.scalars(
            select(column)
            .distinct()
            .where(table.c.tenant == self.tenant, *where)
            .order_by(column)
            .limit(_OFFERED)
        )
        return UnknownNameError(kind, name, [str(value) for value in known])


def next_position(
    connection: Connection, column: Column[int], where: Sequence[ColumnElement[bool]]
) -> int:
    """The number after the largest one in ``column``, from 1.

    Two writers cannot get the same one: the writes of a tenant are done one after the other.
    """
    largest = connection.scalar(select(func.max(column)).where(*where))
    return (largest or 0) + 1


def to_json(record: object) -> str:
    """A record as compact JSON text that reads back as an equal record.

    The order of the keys is kept, because the order of a task's labels has a meaning.

    Raises:
        StorageError: If it holds a number that is not finite, or something that is not JSON.
    """
    try:
        plain = msgspec.to_builtins(record)
        # msgspec writes NaN as null, which would read back as something else.
        json.dumps(plain, allow_nan=False)
        return msgspec.json.encode(plain).decode()
    except (TypeError, ValueError) as error:
        raise StorageError(
            f"a {type(record).__name__} cannot be stored: {error}.",
            advice="Every number must be finite, and every text whole.",
        ) from error


def from_json(text: str, kind: type[_Record], *, where: str) -> _Record:
    """The record that ``to_json`` wrote.

    Raises:
        CorruptError: If the text is not such a record.
    """
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as error:
        raise CorruptError(
            f"the stored {kind.__name__} cannot be read: {error}.",
            where=where,
            advice="Restore the ledger from a backup.",
        ) from error


def own(table: Table, tenant: str, **equal: str | int) -> list[ColumnElement[bool]]:
    """Conditions for the rows of a tenant in which the named columns have those values."""
    return [table.c.tenant == tenant, *(table.c[name] == value for name, value in equal.items())]
