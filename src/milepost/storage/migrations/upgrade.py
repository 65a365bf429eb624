"""Brings a ledger to the newest version of the tables; many processes may try at once.

alembic is imported only when there is something to do: it costs a quarter of a second.
"""

import threading
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from milepost.entities.errors import WorkspaceError
from milepost.storage.database import Database

VERSIONS: tuple[str, ...] = ("0001", "0002")
"""All versions of the tables, oldest first; a test holds this against the files."""

VERSION_TABLE = "milepost_version"
"""Where a ledger's version stands. It has its own name, so that another program that keeps its
alembic versions in the same database is left alone."""

# alembic keeps its running environment in a module global.
_one_at_a_time = threading.Lock()


def upgrade(database: Database) -> None:
    """Create or bring up to date all tables.

    Raises:
        WorkspaceError: If the ledger was written by a newer milepost, or cannot be written.
        StorageError: If the database cannot be used.
    """
    with database.read() as connection:
        if _stored(connection, database) == VERSIONS[-1]:
            return
    with _one_at_a_time:
        from alembic import command
        from alembic.config import Config

        config = Config()
        # The configuration is interpolated, and a folder may have a percent sign in its name.
        folder = str(Path(__file__).parent).replace("%", "%%")
        config.set_main_option("script_location", folder)
        with database.migrate() as connection:
            if _stored(connection, database) == VERSIONS[-1]:
                return
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _stored(connection: Connection, database: Database) -> str | None:
    """Version of the stored tables; ``None`` for an empty database."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    version = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608
    if version is not None and version not in VERSIONS:
        raise WorkspaceError(
            f"the ledger was written by a newer milepost (its tables are version {version}, "
            f"this one knows up to {VERSIONS[-1]}).",
            where=database.address.label,
            advice="Upgrade with: pip install --upgrade milepost.",
        )
    return version
