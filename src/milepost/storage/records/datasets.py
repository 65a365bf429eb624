"""The part of the ledger about a task's data: snapshots, sides of the split, looks at holdouts."""

from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy import func, insert, select

from milepost._base.digest import digest_of
from milepost.entities.example import Dataset
from milepost.entities.ids import ContestId, Digest
from milepost.entities.release import Look
from milepost.storage import tables
from milepost.storage.files.digest_files import check_digest
from milepost.storage.records.audit import AuditRecords
from milepost.storage.records.base import from_json, next_position, own, to_json

SPLIT = (tables.sides.c.task, tables.sides.c.group_key, tables.sides.c.side)
"""Columns that say which side of its task's split each group is on."""


class DatasetRecords(AuditRecords):
    """Datasets, sides of groups, and looks."""

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
            self._append_audit(
                connection,
                actor=actor,
                action="dataset.recorded",
                subject=f"{dataset.task}/{dataset.role}",
                reason="the files hold something else than before" if last else "the data is new",
                details={
                    "role": dataset.role,
                    "digest": dataset.digest,
                    "artifact": dataset.artifact,
                    "rows": dataset.rows,
                    "sources": [
                        {"path": source.path, "sha256": source.sha256} for source in dataset.sources
                    ],
                },
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
        self,
        task: str,
        sides: Mapping[str, str],
        contest: ContestId | None = None,
        *,
        actor: str = tables.DEFAULT,
    ) -> dict[str, str]:
        """Put groups that have no side yet on one, for good.

        Args:
            task: Name of the task.
            sides: Side by group key.
            contest: The contest that saw the groups first.
            actor: Whose.

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
                everything = {**sides, **known}
                self._append_audit(
                    connection,
                    actor=actor,
                    action="split.drawn",
                    subject=split_subject(task),
                    reason=f"{len(new)} groups of examples were seen for the first time",
                    details={**split_facts(everything), "new": len(new), "contest": contest},
                )
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
        """Note one look at a holdout; a contest that looks again for the same purpose is resumed.

        No two looks of a task have the same moment, and a later one has a later moment.

        Returns:
            How often it had been looked at by then, this time included.

        Raises:
            UnknownNameError: If there is no such task.
            InputError: If ``holdout`` is no digest.
        """
        check_digest(holdout)
        table = tables.looks
        where = own(table, self.tenant, task=task, holdout=holdout)
        with self.database.write(self.tenant) as connection:
            self._require_task(connection, task)
            if contest is not None:
                same = (table.c.contest == contest, table.c.purpose == purpose)
                known = connection.scalar(select(table.c.number).where(*where, *same).limit(1))
                if known is not None:
                    return known
            number = next_position(connection, table.c.number, where)
            # Looks at a task are counted in the order of time, whatever the clocks of machines say.
            last = connection.scalar(
                select(func.max(table.c.at)).where(*own(table, self.tenant, task=task))
            )
            now = self.clock()
            connection.execute(
                insert(table).values(
                    tenant=self.tenant,
                    task=task,
                    holdout=holdout,
                    number=number,
                    contest=contest,
                    purpose=purpose,
                    actor=actor,
                    at=now if last is None else max(now, last + timedelta(microseconds=1)),
                )
            )
            self._append_audit(
                connection,
                actor=actor,
                action="holdout.looked",
                subject=f"{task}/holdout",
                reason=purpose,
                details={"holdout": holdout, "look": number, "contest": contest},
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


def split_subject(task: str) -> str:
    """How the audit log names a task's split."""
    return f"{task}/split"


def split_facts(sides: Mapping[str, str]) -> dict[str, object]:
    """What an audit entry says of a whole split: how many groups, and the digest of their sides."""
    return {"groups": len(sides), "split": digest_of(sides)}
