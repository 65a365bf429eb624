"""The part of the ledger about tasks and their versions."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, insert, select, update

from milepost.entities.ids import Digest
from milepost.entities.task import Task
from milepost.storage import tables
from milepost.storage.files.digest_files import check_digest
from milepost.storage.records.audit import AuditRecords
from milepost.storage.records.base import from_json, next_position, own, to_json


class TaskVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A task as it was at some time.

    Attributes:
        digest: Digest of the task.
        number: From 1, in the order in which versions were first seen.
        task: The task itself.
        created: When it was first seen, UTC.
        actor: Who brought it.
    """

    digest: Digest
    number: int
    task: Task
    created: datetime
    actor: str


class TaskRecords(AuditRecords):
    """Tasks with their versions; each change of the current one is in the audit log."""

    def save_task(
        self,
        task: Task,
        digest: Digest,
        actor: str = tables.DEFAULT,
        *,
        use_case: str = tables.DEFAULT,
    ) -> bool:
        """Make this version the current one of its task; add it if it was never seen.

        Of two processes that bring different versions the last one wins, and both are in the audit
        log. Bringing the current version again writes nothing.

        Args:
            task: The task.
            digest: Its digest; versions are told apart by it.
            actor: Who brings it.
            use_case: Name of the group of tasks that it belongs to.

        Returns:
            Whether the version is new. Going back to an earlier version adds none.

        Raises:
            InputError: If ``digest`` is none.
            StorageError: If it cannot be stored.
        """
        check_digest(digest)
        record, now = to_json(task), self.clock()
        table = tables.tasks
        name = own(table, self.tenant, name=task.name)
        with self.database.write(self.tenant) as connection:
            before = connection.execute(
                select(table.c.version, table.c.use_case).where(*name)
            ).one_or_none()
            if before is None or (before.version, before.use_case) != (digest, use_case):
                values = {"version": digest, "use_case": use_case, "updated": now, "actor": actor}
                new_row = {"tenant": self.tenant, "name": task.name, "created": now, **values}
                connection.execute(
                    update(table).where(*name).values(**values)
                    if before
                    else insert(table).values(**new_row)
                )
            version = {"digest": digest, "record": record, "created": now, "actor": actor}
            number, new = self._keep_version(connection, task.name, version)
            if before is None or before.version != digest:
                self._append_audit(
                    connection,
                    actor=actor,
                    action="task.changed" if before else "task.added",
                    subject=task.name,
                    reason="the task is another one than before" if before else "the task is new",
                    details={
                        "before": before.version if before else None,
                        "after": digest,
                        "version": number,
                    },
                )
            return new

    def _keep_version(
        self, connection: Connection, task: str, version: Mapping[str, object]
    ) -> tuple[int, bool]:
        """Number of a version, and whether it was added now."""
        versions = tables.task_versions
        of_task = own(versions, self.tenant, task=task)
        known = connection.scalar(
            select(versions.c.number).where(*of_task, versions.c.digest == version["digest"])
        )
        if known is not None:
            return known, False
        number = next_position(connection, versions.c.number, of_task)
        connection.execute(
            insert(versions).values(tenant=self.tenant, task=task, number=number, **version)
        )
        return number, True

    def task(self, name: str) -> TaskVersion:
        """The current version of a task.

        Raises:
            UnknownNameError: If there is no such task.
        """
        current, versions = tables.tasks, tables.task_versions
        with self.database.read() as connection:
            row = connection.execute(
                select(versions)
                .join(
                    current,
                    (current.c.tenant == versions.c.tenant)
                    & (current.c.name == versions.c.task)
                    & (current.c.version == versions.c.digest),
                )
                .where(*own(current, self.tenant, name=name))
            ).one_or_none()
            if row is None:
                raise self._unknown(connection, "task", name, current.c.name)
        return _version(row)

    def tasks(self, use_case: str | None = None) -> tuple[str, ...]:
        """Names of all tasks, or of those of one use case, sorted."""
        table = tables.tasks
        equal = {} if use_case is None else {"use_case": use_case}
        with self.database.read() as connection:
            names = connection.scalars(
                select(table.c.name).where(*own(table, self.tenant, **equal))
            )
            # Sorted here: the two databases sort text differently.
            return tuple(sorted(names))

    def task_versions(self, name: str) -> tuple[TaskVersion, ...]:
        """All versions of a task, in the order in which they were first seen.

        Raises:
            UnknownNameError: If there is no such task.
        """
        table = tables.task_versions
        with self.database.read() as connection:
            self._require_task(connection, name)
            rows = connection.execute(
                select(table).where(*own(table, self.tenant, task=name)).order_by(table.c.number)
            ).all()
        return tuple(_version(row) for row in rows)


def _version(row: Row[Any]) -> TaskVersion:
    return TaskVersion(
        digest=row.digest,
        number=row.number,
        task=from_json(row.record, Task, where=f"task {row.task}"),
        created=row.created,
        actor=row.actor,
    )
