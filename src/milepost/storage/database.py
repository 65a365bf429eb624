"""One way to open SQLite and PostgreSQL, and three kinds of transaction: read, write, migrate.

Knows no table. Every write of a tenant waits for the one before it, on both databases: SQLite has
one writer anyway (``BEGIN IMMEDIATE``), and PostgreSQL takes an advisory lock. So a number may be
handed out by reading the largest one, and a check holds until the transaction ends.
"""

import contextlib
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

from milepost._base.digest import sha256_bytes
from milepost.entities.errors import StorageError
from milepost.storage.driver_errors import Address, missing_driver

WAL_SAFE = (3, 51, 3)
"""From this SQLite on a write-ahead log is safe; 3.7.0 to 3.51.2 can corrupt the file when two
connections write or checkpoint at once (https://www.sqlite.org/wal.html, "the WAL-reset bug")."""

_BEGIN = "milepost_begin"


class Database:
    """A pool of connections to one address. Safe to share between threads, not across a fork.

    Args:
        url: ``sqlite:///FILE``, ``sqlite://`` (in memory) or ``postgresql://…``.
        timeout: Seconds to wait for a lock before giving up.

    Raises:
        WorkspaceError: If the address cannot be read, or the driver is not installed.
    """

    def __init__(self, url: str, *, timeout: float = 30.0) -> None:
        self.address = Address.parse(url)
        self.is_sqlite = self.address.url.get_backend_name() == "sqlite"
        make = _sqlite_engine if self.is_sqlite else _postgres_engine
        self.engine = make(self.address, timeout)
        self._writer = self.engine.execution_options(**{_BEGIN: "IMMEDIATE"})
        self._migrator = self.engine.execution_options(**{_BEGIN: "EXCLUSIVE"})

    @contextmanager
    def read(self) -> Generator[Connection]:
        """A connection for reading.

        Raises:
            StorageError: If the database cannot be read; all driver errors become this or …
            WorkspaceError: … this, where the place is to blame.
        """
        with self._explained(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self, tenant: str) -> Generator[Connection]:
        """A transaction that commits at the end, alone among the writes of ``tenant``.

        Raises:
            StorageError: If the database cannot be written; nothing is changed then.
            WorkspaceError: If the place is read-only.
        """
        with self._explained(), self._writer.begin() as connection:
            self._lock(connection, f"tenant {tenant}")
            yield connection

    @contextmanager
    def migrate(self) -> Generator[Connection]:
        """A transaction for changing tables, alone in the whole database."""
        with self._explained(), self._migrator.begin() as connection:
            self._lock(connection, "migration")
            yield connection

    def close(self) -> None:
        """Close all idle connections."""
        self.engine.dispose()

    def _lock(self, connection: Connection, name: str) -> None:
        if not self.is_sqlite:
            number = int(sha256_bytes(f"milepost {name}".encode())[:15], 16)
            connection.execute(select(func.pg_advisory_xact_lock(number)))

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except (SQLAlchemyError, UnicodeError, OverflowError) as error:
            explained = self.address.explain(error)
            if self.address.leaks(error):
                raise explained from None
            raise explained from error


def _sqlite_engine(address: Address, timeout: float) -> Engine:
    # In memory a second connection would see an empty database, so threads take turns on one.
    alone: dict[str, Any] = {"pool_size": 1, "max_overflow": 0}
    in_memory = address.url.database in {None, "", ":memory:"}
    engine = create_engine(
        address.url,
        hide_parameters=True,
        poolclass=QueuePool,
        pool_timeout=timeout,
        connect_args={"timeout": timeout, "check_same_thread": False},
        **(alone if in_memory else {}),
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, _record: object) -> None:  # pyright: ignore[reportUnusedFunction]
        # The driver must not open transactions by itself: its "BEGIN" is the deferred one.
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        set_journal(connection, sqlite3.sqlite_version_info)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:  # pyright: ignore[reportUnusedFunction]
        kind = connection.get_execution_options().get(_BEGIN, "DEFERRED")
        connection.exec_driver_sql(f"BEGIN {kind}")

    return engine


def set_journal(connection: sqlite3.Connection, version: tuple[int, int, int]) -> None:
    """Use the write-ahead log where ``version`` of SQLite is safe with it, a rollback journal else.

    Raises:
        StorageError: If a newer SQLite has the file open with a write-ahead log at this moment.
    """
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    if version >= WAL_SAFE:
        if mode not in {"wal", "memory"}:
            # Refused while others have the file open. The rollback journal is as safe; the next
            # connection tries again.
            with contextlib.suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA journal_mode = WAL")
        return
    if mode == "wal":
        with contextlib.suppress(sqlite3.OperationalError):
            mode = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
    if mode == "wal":
        raise StorageError(
            "a program with a newer SQLite has the ledger open in a mode that is unsafe here.",
            advice=f"Close it, or use a Python whose SQLite is at least "
            f"{'.'.join(map(str, WAL_SAFE))}.",
        )


def _postgres_engine(address: Address, timeout: float) -> Engine:
    try:
        engine = create_engine(
            address.url,
            hide_parameters=True,
            pool_pre_ping=True,
            pool_timeout=timeout,
            connect_args={"connect_timeout": 10, "application_name": "milepost"},
        )
    except ImportError:
        raise missing_driver(address) from None

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: object) -> None:  # pyright: ignore[reportUnusedFunction]
        # ``set_config`` takes its value as a parameter, which SET does not.
        connection.execute(
            "SELECT set_config('lock_timeout', %s, false)", [f"{int(timeout * 1000)}ms"]
        )
        connection.commit()

    return engine
