"""The ledger: the SQL store of record. Its nouns stand in the modules that it is put together from.

Records go in and out as the structs of ``milepost.entities``. Artifacts (snapshots, bundles,
predictions) are elsewhere; the ledger knows only their digests.
"""

from types import TracebackType
from typing import Self

from milepost._base.clock import Clock, utc_now
from milepost.storage import tables
from milepost.storage.contest_records import ContestRecords
from milepost.storage.database import Database
from milepost.storage.migrations.upgrade import upgrade
from milepost.storage.release_records import ReleaseRecords
from milepost.storage.task_records import TaskRecords, TaskVersion

__all__ = ["Ledger", "TaskVersion"]


class Ledger(TaskRecords, ContestRecords, ReleaseRecords):
    """Tasks, data, contests, releases, channels, looks and audit of one tenant.

    Safe to share between threads; a process that forks opens its own. Every method is one
    transaction. All raise ``StorageError`` when the database cannot be used, ``WorkspaceError``
    when it is read-only or cannot be reached as addressed, and ``InputError`` for a value that no
    database takes (a NUL, half a character, a number that is too large).
    """

    @classmethod
    def open(
        cls,
        url: str,
        *,
        clock: Clock = utc_now,
        tenant: str = tables.DEFAULT,
        timeout: float = 30.0,
    ) -> Self:
        """Open a ledger; create it, or bring its tables up to date, where needed.

        Any number of processes may open the same new ledger at once. One that is up to date is
        only read, so that it opens in a read-only folder.

        Args:
            url: ``sqlite:///FILE``, ``sqlite://`` (in memory, gone at the end) or
                ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE``.
            clock: Gives the time that is written into rows.
            tenant: Whose rows are read and written.
            timeout: Seconds to wait for a lock, in a thread or another process.

        Raises:
            WorkspaceError: If the address cannot be read, the folder is missing or read-only, the
                driver is not installed, or the ledger was written by a newer milepost.
            StorageError: If the database cannot be reached or is locked.
            CorruptError: If the file is not a ledger.
        """
        database = Database(url, timeout=timeout)
        try:
            upgrade(database)
        except BaseException:
            database.close()
            raise
        return cls(database, clock, tenant)

    def close(self) -> None:
        """Close the connections."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
