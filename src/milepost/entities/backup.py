"""What a backup says about itself, and what making and restoring one came to."""

from datetime import datetime

import msgspec

from milepost.entities.ids import Digest

BACKUP_FORMAT = 1
"""Version of the layout of a backup that this code writes and reads."""


class TableCount(msgspec.Struct, frozen=True, kw_only=True):
    """How much a table holds.

    Attributes:
        rows: How many rows.
        sha256: SHA-256 over the canonical lines of all rows in the order of the key.
    """

    rows: int
    sha256: str


class BackupFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a backup.

    Attributes:
        name: Path relative to the backup, or to the workspace for a data file.
        sha256: Of its bytes.
        size: Bytes.
    """

    name: str
    sha256: Digest
    size: int


class BackupManifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of ``manifest.json``, which is written last: with it a backup is whole.

    Attributes:
        format: Version of the layout.
        id: Name of the backup's folder: when it was made, and four random digits.
        created: When the ledger was as the backup has it, UTC.
        actor: Who made it.
        milepost: Version of milepost that made it.
        schema: Version of the ledger's tables.
        source: Where the ledger was, without user and password.
        tables: Rows of each table.
        heads: End of each tenant's audit log, as ``sequence:hash``.
        files: Files in the backup's folder.
        artifacts: Content-addressed bytes that its rows need; ``name`` is empty.
        data: Files that tasks name, by their path in the workspace; their bytes are artifacts.
        outside: Data files that lie outside the workspace, and so outside the backup.
    """

    format: int = BACKUP_FORMAT
    id: str
    created: datetime
    actor: str
    milepost: str
    schema: str
    source: str
    tables: dict[str, TableCount]
    heads: dict[str, str]
    files: tuple[BackupFile, ...]
    artifacts: tuple[BackupFile, ...]
    data: tuple[BackupFile, ...] = ()
    outside: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.tables.values())

    @property
    def size(self) -> int:
        """Bytes of everything that the backup names, each artifact once."""
        shared = {file.sha256: file.size for file in (*self.artifacts, *self.data)}
        return sum(file.size for file in self.files) + sum(shared.values())


class BackupMade(msgspec.Struct, frozen=True, kw_only=True):
    """What making a backup came to.

    Attributes:
        place: Folder of all backups.
        manifest: What the backup says about itself.
        added_files: Artifacts that were not in the place before.
        added_bytes: Bytes that were not in the place before, ledger included.
        cleaned: Backups that had been broken off and were removed.
    """

    place: str
    manifest: BackupManifest
    added_files: int
    added_bytes: int
    cleaned: tuple[str, ...] = ()


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore came to.

    Attributes:
        directory: The new workspace; ``None`` where the backup was only checked.
        manifest: What was restored.
        ledger: Where the ledger is now, without user and password.
        migrated: Version of the tables that the backup had, where it was an older one.
    """

    directory: str | None
    manifest: BackupManifest
    ledger: str | None = None
    migrated: str | None = None


class StoreMoved(msgspec.Struct, frozen=True, kw_only=True):
    """What moving a ledger to another database came to.

    Attributes:
        source: Where it was, without user and password.
        target: Where it is now, without user and password.
        rows: Rows of all tables that were copied.
        tables: Rows of each table that were copied, with the digest that both sides have.
        kept: The old file, which takes no more writes; ``None`` for a server.
    """

    source: str
    target: str
    rows: int
    tables: dict[str, TableCount]
    kept: str | None
