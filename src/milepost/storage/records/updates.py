"""The part of the ledger about what changes between contests: updated heads, forgotten examples.

An update has no row of its own: the newest ``release.updated`` entry of a release says which bundle
answers for it, and a pin holds the bundle's bytes. Entry, pin and the label that led to it are
written in one transaction.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, update

from milepost.entities.errors import ConflictError
from milepost.entities.example import Dataset
from milepost.entities.ids import Digest
from milepost.entities.learning import HeadUpdate
from milepost.entities.serving import Feedback
from milepost.storage import tables
from milepost.storage.files.digest_files import check_digest
from milepost.storage.records.audit import AuditRecords
from milepost.storage.records.base import IN_PARTS, from_json, own, to_json
from milepost.storage.records.feedback import FeedbackRecords

UPDATED = "release.updated"
FORGETTING = "examples.forgetting"
FORGOTTEN = "examples.forgotten"


class StoredSnapshot(NamedTuple):
    """A snapshot of a task: its place among those of its role, its record, where its bytes are."""

    role: str
    sequence: int
    record: Dataset
    artifact: Digest


class UpdateRecords(FeedbackRecords, AuditRecords):
    """Updates of releases between contests, and what was forgotten."""

    def release_update(self, task: str, release: int) -> HeadUpdate | None:
        """How a release answers now; ``None`` where it answers as it was made."""
        entries = self.audit(1, subject=f"{task}#{release}", action=UPDATED)
        return None if not entries else _update(task, release, entries[0].details)

    def record_update(
        self,
        change: HeadUpdate,
        before: Digest | None,
        *,
        reason: str,
        actor: str = tables.DEFAULT,
        feedback: Feedback | None = None,
    ) -> None:
        """Let a stored bundle answer for a release from now on.

        Args:
            change: What answers; its bundle's bytes are stored.
            before: Digest of the bundle that it was made from; ``None`` for the release's own.
            reason: Why, for the audit log.
            actor: Who.
            feedback: The label that it learned, kept with it.

        Raises:
            ConflictError: If another one answers by now.
            UnknownNameError: If there is no such task.
        """
        check_digest(change.bundle)
        subject, owner = f"{change.task}#{change.release}", f"update:{change.task}#{change.release}"
        with self.database.write(self.tenant) as connection:
            if self._updated_bundle(connection, subject) != before:
                raise ConflictError(
                    f"somebody else updated {subject} in the meantime.", advice="Try again."
                )
            if feedback is not None:
                self._store_feedback(connection, feedback)
            pins = tables.pins
            connection.execute(delete(pins).where(*own(pins, self.tenant, owner=owner)))
            pin = {"tenant": self.tenant, "owner": owner, "digest": change.bundle}
            connection.execute(insert(pins).values(**pin, created=self.clock()))
            self._append_audit(
                connection,
                actor=actor,
                action=UPDATED,
                subject=subject,
                reason=reason,
                details={
                    "bundle": change.bundle,
                    "before": before,
                    "learned": change.learned,
                    "forgotten": change.forgotten,
                    **({} if feedback is None else {"feedback": feedback.id}),
                },
            )

    def forgotten_by(self, task: str) -> frozenset[int]:
        """Releases of a task that learned from examples that were forgotten since."""
        found: set[int] = set()
        for entry in self.audit(subject=task, action=FORGETTING):
            numbers = entry.details.get("releases")
            if isinstance(numbers, list):
                found |= {each for each in numbers if isinstance(each, int)}
        return frozenset(found)

    def record_forgetting(
        self,
        task: str,
        details: Mapping[str, object],
        *,
        done: bool,
        reason: str,
        actor: str = tables.DEFAULT,
    ) -> None:
        """Write into the audit log that examples are about to be forgotten, or that they are.

        Args:
            task: Name of the task.
            details: Counts and digests, never a text.
            done: Whether everything is done.
            reason: Why.
            actor: Who.

        Raises:
            UnknownNameError: If there is no such task.
        """
        with self.database.write(self.tenant) as connection:
            self._require_task(connection, task)
            self._append_audit(
                connection,
                actor=actor,
                action=FORGOTTEN if done else FORGETTING,
                subject=task,
                reason=reason,
                details=details,
            )

    def snapshots(self, task: str) -> tuple[StoredSnapshot, ...]:
        """Every snapshot of a task, oldest first.

        Raises:
            UnknownNameError: If there is no such task.
        """
        table = tables.datasets
        with self.database.read() as connection:
            self._require_task(connection, task)
            rows = connection.execute(
                select(table)
                .where(*own(table, self.tenant, task=task))
                .order_by(table.c.role, table.c.sequence)
            ).all()
        return tuple(
            StoredSnapshot(
                row.role,
                row.sequence,
                from_json(row.record, Dataset, where=f"data of {task}"),
                Digest(row.artifact),
            )
            for row in rows
        )

    def replace_snapshot(
        self, task: str, of: StoredSnapshot, artifact: Digest, actor: str = tables.DEFAULT
    ) -> None:
        """Let a snapshot's bytes lie elsewhere; its digest and its audit entry stay what they are.

        The record keeps the place that contests recorded, so that it is found from there. What its
        quality report quoted of the rows goes.

        Args:
            task: Name of the task.
            of: The snapshot.
            artifact: Where the bytes are that take the place of the old ones.
            actor: Who.
        """
        table, quality = tables.datasets, of.record.quality
        bare = tuple(msgspec.structs.replace(each, examples=()) for each in quality.findings)
        record = msgspec.structs.replace(
            of.record, quality=msgspec.structs.replace(quality, findings=bare)
        )
        with self.database.write(self.tenant) as connection:
            where = own(table, self.tenant, task=task, role=of.role)
            connection.execute(
                update(table)
                .where(*where, table.c.sequence == of.sequence)
                .values(artifact=check_digest(artifact), record=to_json(record))
            )
            newest = connection.scalar(select(func.max(table.c.sequence)).where(*where))
            if newest == of.sequence:
                # Of the versions of a dataset the newest is held against the newest entry.
                self._append_audit(
                    connection,
                    actor=actor,
                    action="dataset.recorded",
                    subject=f"{task}/{of.role}",
                    reason="rows of it were forgotten",
                    details={
                        "role": of.role,
                        "digest": record.digest,
                        "artifact": artifact,
                        "rows": record.rows,
                    },
                )

    def snapshot_place(self, artifact: Digest) -> Digest | None:
        """Where a snapshot lies now that contests recorded at ``artifact``; ``None``: nowhere."""
        table = tables.datasets
        with self.database.read() as connection:
            rows = connection.execute(
                select(table.c.artifact, table.c.record).where(
                    table.c.tenant == self.tenant,
                    table.c.record.contains(check_digest(artifact)),
                    table.c.artifact != artifact,
                )
            ).all()
        for row in rows:
            if from_json(row.record, Dataset, where="datasets").artifact == artifact:
                return Digest(row.artifact)
        return None

    def erase_feedback(self, ids: Iterable[str]) -> int:
        """Delete pieces of feedback, their inputs included; returns how many there were."""
        table, wanted, erased = tables.feedback, sorted(set(ids)), 0
        with self.database.write(self.tenant) as connection:
            for start in range(0, len(wanted), IN_PARTS):
                part = table.c.id.in_(wanted[start : start + IN_PARTS])
                where = (table.c.tenant == self.tenant, part)
                erased += connection.execute(delete(table).where(*where)).rowcount
        return erased

    def _updated_bundle(self, connection: Connection, subject: str) -> Digest | None:
        table = tables.audit
        details = connection.scalar(
            select(table.c.details)
            .where(*own(table, self.tenant, subject=subject, action=UPDATED))
            .order_by(table.c.sequence.desc())
            .limit(1)
        )
        if details is None:
            return None
        return _update("", 0, from_json(details, dict[str, object], where=subject)).bundle


def _update(task: str, release: int, details: Mapping[str, object]) -> HeadUpdate:
    said = {name: details.get(name) for name in ("bundle", "learned", "forgotten")}
    return msgspec.convert({"task": task, "release": release, **said}, HeadUpdate)
