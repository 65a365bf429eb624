"""Puts a ledger's rows into an empty database, and closes the one that they came from.

Nothing can change two databases in one transaction, so there are marks: the new one is marked as
unfinished until it is in use, and can be emptied and filled again until then; the old one is marked
as moved in the transaction that decides. From then on the old one refuses every write, also of a
process that opened it before.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple, Self

from sqlalchemy import Connection, Table, func, inspect, select, text

from milepost.entities.backup import TableCount
from milepost.entities.errors import WorkspaceError
from milepost.storage import tables
from milepost.storage.database import Database
from milepost.storage.driver_errors import MOVED
from milepost.storage.migrations.upgrade import (
    VERSION_TABLE,
    VERSIONS,
    LedgerMovedError,
    mark_moved,
    stored_version,
    upgrade,
)
from milepost.storage.records.audit import AuditRecords
from milepost.storage.transfer import Plain, fill, rows_of, tables_in

_UNFINISHED = "milepost_unfinished"


class Act(NamedTuple):
    """What an audit entry says."""

    actor: str
    action: str
    subject: str
    reason: str
    details: dict[str, object]


class Journal(AuditRecords):
    """Writes down acts that change no other row."""

    @classmethod
    def of(cls, ledger: AuditRecords) -> Self:
        """The journal of a ledger."""
        return cls(ledger.database, ledger.clock, ledger.tenant, ledger.role)

    def record(self, act: Act) -> None:
        """Append an act to the audit log."""
        with self.database.write(self.tenant) as connection:
            self._append_audit(connection, **act._asdict())


class Arrival(AuditRecords):
    """A database that becomes a ledger by the rows that are put into it.

    Made with the database that is filled, and the clock, tenant and role for the audit entry.
    """

    def take_over(
        self, source: AuditRecords, token: str, address: str, act: Act
    ) -> dict[str, TableCount]:
        """Copy a ledger and close it behind the rows; nobody writes to it meanwhile.

        Killed before the end, the ledger is as it was, and the same move can be begun again. At
        the end the ledger is closed for good, and ``finish`` is what is left to do.

        Args:
            source: Where the rows are.
            token: Who moves, so that a repeated move recognises what it left.
            address: The new address, as ``milepost.toml`` will name it.
            act: Recorded in the new ledger.

        Returns:
            Counts and digests of what was copied.

        Raises:
            WorkspaceError: If this database is not empty.
            StorageError: If either database cannot be used.
        """
        self._make_room(token, VERSIONS[-1])
        with source.database.write_alone() as reading:
            found = tables_in(reading)
            with self.database.migrate() as connection:
                copied = fill(connection, found, lambda table: rows_of(reading, table))
                self._append_audit(connection, **act._asdict())
                _mark_unfinished(connection, token)
            _close_for_writes(reading, found)
            mark_moved(reading, address)
        return copied

    def fill_from(
        self,
        version: str,
        names: Iterable[str],
        rows: Callable[[Table], Iterable[Plain]],
        token: str,
        act: Act,
    ) -> dict[str, TableCount]:
        """Store the rows of a backup, of an older version of the tables where it was one.

        Args:
            version: Version of the tables that the rows are of.
            names: Names of these tables.
            rows: Gives a table's rows in the order of its key.
            token: Who restores, so that a repeated restore recognises what it left.
            act: Recorded in the new ledger.

        Returns:
            Counts and digests of what is stored, before it was brought up to date.

        Raises:
            WorkspaceError: If this database is not empty.
            StorageError: If it cannot be used.
        """
        self._make_room(token, version)
        with self.database.migrate() as connection:
            found = tables_in(connection, names)
            stored = fill(connection, found, rows)
            _mark_unfinished(connection, token)
        upgrade(self.database)
        with self.database.write(self.tenant) as connection:
            self._append_audit(connection, **act._asdict())
            connection.execute(
                text(f"UPDATE {_UNFINISHED} SET entries = :entries"),  # noqa: S608
                {"entries": _entries(connection)},
            )
        return stored

    def finish(self) -> None:
        """Take the mark away that what arrived is not in use yet; again, it does nothing."""
        with self.database.migrate() as connection:
            connection.execute(text(f"DROP TABLE IF EXISTS {_UNFINISHED}"))

    def _make_room(self, token: str, version: str) -> None:
        """Make empty tables; what the same token left unfinished is removed before."""
        label = self.database.address.label
        with self.database.migrate() as connection:
            stored = _version(connection, self.database)
            if stored is not None:
                names = set(inspect(connection).get_table_names())
                if not _is_ours(connection, label, names, token):
                    _require_empty(connection, label, names)
                _drop_all(connection)
        upgrade(self.database, version)


def _version(connection: Connection, database: Database) -> str | None:
    try:
        return stored_version(connection, database)
    except LedgerMovedError as moved:
        raise WorkspaceError(
            "this is the old copy of a ledger that was moved away; it takes no more rows.",
            where=moved.where,
            advice="Name another file or database, or delete this one first.",
        ) from None


def _is_ours(connection: Connection, label: str, names: set[str], token: str) -> bool:
    if _UNFINISHED not in names:
        return False
    left = connection.execute(text(f"SELECT token, entries FROM {_UNFINISHED}")).one()  # noqa: S608
    # More audit entries than arrived: somebody has used it since.
    if left.token == token and left.entries == _entries(connection):
        return True
    raise WorkspaceError(
        "another move or restore into this database is going on, or was broken off.",
        where=label,
        advice="Repeat that one, or name an empty database.",
    )


def _require_empty(connection: Connection, label: str, names: set[str]) -> None:
    for table in tables.metadata.sorted_tables:
        if table.name in names and connection.scalar(select(func.count()).select_from(table)):
            raise WorkspaceError(
                "this database holds a ledger already.",
                where=label,
                advice="Name an empty database; nothing is ever written over.",
            )


def _mark_unfinished(connection: Connection, token: str) -> None:
    connection.execute(
        text(f"CREATE TABLE {_UNFINISHED} (token TEXT NOT NULL, entries BIGINT NOT NULL)")
    )
    connection.execute(
        text(f"INSERT INTO {_UNFINISHED} VALUES (:token, :entries)"),  # noqa: S608
        {"token": token, "entries": _entries(connection)},
    )


def _entries(connection: Connection) -> int:
    return connection.scalar(select(func.count()).select_from(tables.audit)) or 0


def _drop_all(connection: Connection) -> None:
    for table in reversed(tables.metadata.sorted_tables):
        table.drop(connection, checkfirst=True)
    for name in (VERSION_TABLE, _UNFINISHED):
        connection.execute(text(f"DROP TABLE IF EXISTS {name}"))


def _close_for_writes(connection: Connection, found: Iterable[Table]) -> None:
    if connection.dialect.name == "sqlite":
        for table in found:
            for act in ("INSERT", "UPDATE", "DELETE"):
                connection.execute(
                    text(
                        f"CREATE TRIGGER {table.name}_moved_{act.lower()} BEFORE {act} "
                        f"ON {table.name} BEGIN SELECT RAISE(ABORT, '{MOVED}'); END"
                    )
                )
        return
    connection.execute(
        text(
            "CREATE OR REPLACE FUNCTION milepost_moved_away() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{MOVED}'; END $$"
        )
    )
    for table in found:
        connection.execute(
            text(
                f"CREATE TRIGGER {table.name}_moved BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE "
                f"ON {table.name} FOR EACH STATEMENT EXECUTE FUNCTION milepost_moved_away()"
            )
        )
