"""The part of the ledger about tasks and their data: versions, snapshots, sides, looks."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Row, insert, select, update

from milepost.entities.example import Dataset
from milepost.entities.ids import ContestId, Digest
from milepost.entities.release import Look
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
    """Tasks with their versions, datasets, sides of the split and looks at holdouts."""

    def save_task(
        self,
        task: Task,
        digest: Digest,
        actor: str = tables.DEFAULT,
        *,
        use_case: str = tables.DEFAULT,
    ) -> bool:
        """Make this version the current one of its task; add it if it was never seen.

        Args:
            task: The task.
            digest: Its digest; versions are told apart by it.
            actor: Who brings it.
            use_case: Name of the group of tasks that it belongs to.

        Returns:
            Whether the version is new. Going back to an earlier version adds nothing.

        Raises:
            InputError: If ``digest`` is none.
            StorageError: If it cannot be stored.
        """
        check_digest(digest)
        record, now = to_json(task), self.clock()
        with self.database.write(self.tenant) as connection:
            name = own(tables.tasks, self.tenant, name=task.name)
            changed = connection.execute(
                update(tables.tasks)
                .where(*name)
                .values(version=digest, use_case=use_case, updated=now, actor=actor)
            )
            if not changed.rowcount:
                connection.execute(
                    insert(tables.tasks).values(
                        tenant=self.tenant,
                        name=task.name,
                        use_case=use_case,
                        version=digest,
                        created=now,
                        updated=now,
                        actor=actor,
                    )
                )
            versions = tables.task_versions
            of_task = own(versions, self.tenant, task=task.name)
            if connection.scalar(
                select(versions.c.number).where(*of_task, versions.c.digest == digest)
            ):
                return False
            connection.execute(
                insert(versions).values(
                    tenant=self.tenant,
                    task=task.name,
                    digest=digest,
                    number=next_position(connection, versions.c.number, of_task),
                    record=record,
                    created=now,
                    actor=actor,
                )
            )
            return True

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

    def save_dataset(self, dataset: Dataset, actor: str = tables.DEFAULT) -> bool:
        """Note that this snapshot is now the latest of its task and role.

        Returns:
            ``False`` when the latest one is equal to it, so that there is nothing to note.

        Raises:
            UnknownNameError: If its task is not in the ledger.
            InputError: If a digest is none.
        """
        check_digest(dataset.digest)
        check_digest(dataset.artifact)
        table, record = tables.datasets, to_json(dataset)
        where = own(table, self.tenant, task=dataset.task, role=dataset.role)
        with self.database.write(self.tenant) as connection:
            self._require_task(connection, dataset.task)
            position = next_position(connection, table.c.sequence, where)
            last = connection.scalar(
                select(table.c.record).where(*where, table.c.sequence == position - 1)
            )
            if last == record:
                return False
            connection.execute(
                insert(table).values(
                    tenant=self.tenant,
                    task=dataset.task,
                    role=dataset.role,
                    sequence=position,
                    digest=dataset.digest,
                    artifact=dataset.artifact,
                    rows=dataset.rows,
                    record=record,
                    created=self.clock(),
                    actor=actor,
                )
            )
            return True

    def dataset(self, digest: str) -> Dataset:
        """The newest record of the snapshot with this digest.

        Raises:
            UnknownNameError: If there is none.
        """
        table = tables.datasets
        with self.database.read() as connection:
            record = connection.scalar(
                select(table.c.record)
                .where(*own(table, self.tenant, digest=digest))
                .order_by(table.c.created.desc(), table.c.sequence.desc())
                .limit(1)
            )
            if record is None:
                raise self._unknown(connection, "dataset", digest, table.c.digest)
        return from_json(record, Dataset, where=f"dataset {digest}")

    def latest_dataset(self, task: str, role: str) -> Dataset | None:
        """The latest snapshot of a task in a role; ``None`` when there is none yet.

        Raises:
            UnknownNameError: If there is no such task.
        """
        table = tables.datasets
        with self.database.read() as connection:
            self._require_task(connection, task)
            record = connection.scalar(
                select(table.c.record)
                .where(*own(table, self.tenant, task=task, role=role))
                .order_by(table.c.sequence.desc())
                .limit(1)
            )
        return None if record is None else from_json(record, Dataset, where=f"data of {task}")

    def sides(self, task: str) -> dict[str, str]:
        """Side of the split of every group of near-duplicates seen so far, by group key.

        Raises:
            UnknownNameError: If there is no such task.
        """
        table = tables.sides
        with self.database.read() as connection:
            self._require_task(connection, task)
            rows = connection.execute(
                select(table.c.group_key, table.c.side).where(*own(table, self.tenant, task=task))
            )
            return {row.group_key: row.side for row in rows}

    def record_sides(
        self, task: str, sides: Mapping[str, str], contest: ContestId | None = None
    ) -> dict[str, str]:
        """Put groups that have no side yet on one, for good.

        Args:
            task: Name of the task.
            sides: Side by group key.
            contest: The contest that saw the groups first.

        Returns:
            The side in force of each of the given groups: where one was recorded before, by this
            or another process, that one.

        Raises:
            UnknownNameError: If there is no such task.
        """
        table = tables.sides
        with self.database.write(self.tenant) as connection:
            self._require_task(connection, task)
            rows = connection.execute(
                select(table.c.group_key, table.c.side).where(*own(table, self.tenant, task=task))
            )
            known: dict[str, str] = {row.group_key: row.side for row in rows}
            now = self.clock()
            new = [
                {
                    "tenant": self.tenant,
                    "task": task,
                    "group_key": key,
                    "side": side,
                    "contest": contest,
                    "seen": now,
                }
                for key, side in sides.items()
                if key not in known
            ]
            if new:
                connection.execute(insert(table), new)
        return {key: known.get(key, side) for key, side in sides.items()}

    def record_look(
        self,
        task: str,
        holdout: Digest,
        purpose: str,
        *,
        contest: ContestId | None = None,
        actor: str = tables.DEFAULT,
    ) -> int:
        """Note one look at a holdout.

        Returns:
            How often it has been looked at, this time included.

        Raises:
            UnknownNameError: If there is no such task.
            InputError: If ``holdout`` is no digest.
        """
        check_digest(holdout)
        table = tables.looks
        where = own(table, self.tenant, task=task, holdout=holdout)
        with self.database.write(self.tenant) as connection:
            self._require_task(connection, task)
            number = next_position(connection, table.c.number, where)
            connection.execute(
                insert(table).values(
                    tenant=self.tenant,
                    task=task,
                    holdout=holdout,
                    number=number,
                    contest=contest,
                    purpose=purpose,
                    actor=actor,
                    at=self.clock(),
                )
            )
            return number

    def looks(self, task: str, holdout: str | None = None) -> tuple[Look, ...]:
        """All looks at a holdout, or at all holdouts of a task, in the order of each holdout.

        Raises:
            UnknownNameError: If there is no such task.
        """
        table = tables.looks
        equal = {} if holdout is None else {"holdout": holdout}
        with self.database.read() as connection:
            self._require_task(connection, task)
            rows = connection.execute(
                select(table)
                .where(*own(table, self.tenant, task=task, **equal))
                .order_by(table.c.holdout, table.c.number)
            ).all()
        return tuple(
            Look(
                task=row.task,
                holdout=row.holdout,
                contest=row.contest,
                purpose=row.purpose,
                actor=row.actor,
                at=row.at,
            )
            for row in rows
        )


def _version(row: Row[Any]) -> TaskVersion:
    return TaskVersion(
        digest=row.digest,
        number=row.number,
        task=from_json(row.record, Task, where=f"task {row.task}"),
        created=row.created,
        actor=row.actor,
    )
