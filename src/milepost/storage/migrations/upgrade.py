"""Brings a ledger to the newest version of the tables; many processes may try at once.

alembic is imported only when there is something to do: it costs a quarter of a second.
"""

import threading
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from milepost.entities.errors import WorkspaceError
from milepost.storage.database import Database

VERSIONS: tuple[str, ...] = ("0001", "0002", "0003", "0004")
"""All versions of the tables, oldest first; a test holds this against the files."""

VERSION_TABLE = "milepost_version"
"""Where a ledger's version stands. It has its own name, so that another program that keeps its
alembic versions in the same database is left alone."""

MOVED_TABLE = "milepost_moved"
"""Holds, in a ledger that was moved, the address of the new one as ``milepost.toml`` names it."""

_MOVED = "moved"

# alembic keeps its running environment in a module global.
_one_at_a_time = threading.Lock()


class LedgerMovedError(WorkspaceError):
    """The ledger was moved to another database.

    Args:
        where: The old one, for people.
        address: The new one, as it is written in ``milepost.toml``.
    """

    def __init__(self, where: str, address: str) -> None:
        super().__init__(
            "this ledger was moved to another database.",
            where=where,
            advice="Name the new one as `ledger` in milepost.toml.",
        )
        self.address = address


def upgrade(database: Database, version: str = VERSIONS[-1]) -> None:
    """Create or bring up to date all tables.

    Args:
        database: Where.
        version: Which version to go up to; an older one only to fill it with old rows.

    Raises:
        LedgerMovedError: If the ledger was moved to another database.
        WorkspaceError: If the ledger was written by a newer milepost, or cannot be written.
        StorageError: If the database cannot be used.
    """
    with database.read() as connection:
        if stored_version(connection, database) == version:
            return
    with _one_at_a_time:
        from alembic import command
        from alembic.config import Config

        config = Config()
        # The configuration is interpolated, and a folder may have a percent sign in its name.
        folder = str(Path(__file__).parent).replace("%", "%%")
        config.set_main_option("script_location", folder)
        with database.migrate() as connection:
            if stored_version(connection, database) == version:
                return
            config.attributes["connection"] = connection
            command.upgrade(config, version)


def stored_version(connection: Connection, database: Database) -> str | None:
    """Version of the stored tables; ``None`` for an empty database.

    Raises:
        LedgerMovedError: If the ledger was moved to another database.
        WorkspaceError: If it is of a newer version.
    """
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    version = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608
    if version == _MOVED:
        address = connection.scalar(text(f"SELECT address FROM {MOVED_TABLE}"))  # noqa: S608
        raise LedgerMovedError(database.address.label, str(address))
    if version is not None and version not in VERSIONS:
        raise WorkspaceError(
            f"the ledger was written by a newer milepost (its tables are version {version}, "
            f"this one knows up to {VERSIONS[-1]}).",
            where=database.address.label,
            advice="Upgrade with: pip install --upgrade milepost.",
        )
    return version


def mark_moved(connection: Connection, address: str) -> None:
    """Note in a ledger, within the caller's transaction, that it is elsewhere from now on."""
    connection.execute(text(f"CREATE TABLE {MOVED_TABLE} (address TEXT NOT NULL)"))
    connection.execute(
        text(f"INSERT INTO {MOVED_TABLE} VALUES (:address)"),  # noqa: S608
        {"address": address},
    )
    connection.execute(
        text(f"UPDATE {VERSION_TABLE} SET version_num = :moved"),  # noqa: S608
        {"moved": _MOVED},
    )
