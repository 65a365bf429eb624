"""One way to open SQLite and PostgreSQL, and three kinds of transaction: read, write, migrate.

Knows no table. Every write of a tenant waits for the one before it, on both databases: SQLite has
one writer anyway (``BEGIN IMMEDIATE``), and PostgreSQL takes an advisory lock. So a number may be
handed out by reading the largest one, and a check holds until the transaction ends.

What is committed is on the disk before ``write`` returns, the name of the file included: on SQLite
with a rollback journal the commit is the removal of the journal, and only ``synchronous=EXTRA``
flushes the folder after it (https://www.sqlite.org/pragma.html#pragma_synchronous).
"""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Engine, create_engine, event, func, literal, select
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from milepost._base.digest import sha256_bytes
from milepost.entities.errors import StorageError
from milepost.storage.driver_errors import Address, missing_driver

WAL_SAFE = (3, 51, 3)
"""From this SQLite on a write-ahead log is safe; 3.7.0 to 3.51.2 can corrupt the file when two
connections write or checkpoint at once (https://www.sqlite.org/wal.html, "the WAL-reset bug")."""

APPENDED = "milepost_appended"
"""Under this a transaction notes the last audit entry it appends: tenant, number, hash. When it is
committed, ``Database.witness`` is told, if there is one; it must not raise."""

_BEGIN = "milepost_begin"
_EVERYBODY = "every tenant"


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
        self._timeout = timeout
        self.witness: Callable[[str, int, str], None] | None = None
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
            self._lock(connection, f"tenant {tenant}", beside=True)
            connection.info.pop(APPENDED, None)
            yield connection
            appended = connection.info.pop(APPENDED, None)
        if appended is not None and self.witness is not None:
            self.witness(*appended)

    @contextmanager
    def write_alone(self) -> Generator[Connection]:
        """A transaction that keeps out the writes of every tenant; others may read."""
        with self._explained(), self._writer.begin() as connection:
            self._lock(connection, _EVERYBODY)
            yield connection

    @contextmanager
    def frozen(self) -> Generator[Connection]:
        """A connection that sees one moment, however long it reads; PostgreSQL only."""
        with self._explained(), self.engine.connect() as connection:
            connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            yield connection

    def copy_pages(self, file: Path) -> None:
        """Write a consistent copy of the whole database to a new file; SQLite only.

        Writers wait while it is copied, and it waits for them.

        Raises:
            StorageError: If the database stays locked, or the copy cannot be written.
        """
        until = time.monotonic() + self._timeout

        def give_up(status: int, _remaining: int, _total: int) -> None:
            if status in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED} and time.monotonic() > until:
                locked = sqlite3.OperationalError("database is locked")
                locked.sqlite_errorcode = status
                raise locked

        with self._explained(), self.engine.connect() as connection:
            source = cast("sqlite3.Connection", connection.connection.driver_connection)
            try:
                with contextlib.closing(sqlite3.connect(file)) as target:
                    source.backup(target, progress=give_up)
            except sqlite3.Error as error:
                raise OperationalError("backup", None, error) from error

    @contextmanager
    def migrate(self) -> Generator[Connection]:
        """A transaction for changing tables, alone in the whole database."""
        with self._explained(), self._migrator.begin() as connection:
            self._lock(connection, "migration")
            yield connection

    def close(self) -> None:
        """Close all idle connections."""
        self.engine.dispose()

    def _lock(self, connection: Connection, name: str, *, beside: bool = False) -> None:
        """Hold a lock until the transaction ends; ``beside`` others, but not beside all.

        A process that stands still in the middle (stopped, swapped out) is cut off by the server
        before those that wait for it give up; its work is undone, as after a crash.
        """
        if self.is_sqlite:
            return
        patience = f"{max(1, int(self._timeout * 1000 * 2 / 3))}ms"
        asked = [
            func.set_config("idle_in_transaction_session_timeout", patience, literal(value=True)),
            func.pg_advisory_xact_lock(_number(name)),
        ]
        if beside:
            asked.insert(1, func.pg_advisory_xact_lock_shared(_number(_EVERYBODY)))
        connection.execute(select(*asked))

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except (SQLAlchemyError, UnicodeError, OverflowError) as error:
            explained = self.address.explain(error)
            if self.address.leaks(error):
                raise explained from None
            raise explained from error


def _number(name: str) -> int:
    return int(sha256_bytes(f"milepost {name}".encode())[:15], 16)


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
        connection.execute("PRAGMA synchronous = EXTRA")
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
