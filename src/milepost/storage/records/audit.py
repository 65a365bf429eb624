"""The part of the ledger about what was done: a log that only grows, entry chained to entry.

An entry is written in the transaction of what it records, or neither is.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, insert, select

from milepost._base.digest import canonical_json
from milepost.entities.release import AuditEntry
from milepost.storage import tables
from milepost.storage.chain import GENESIS, entry_hash
from milepost.storage.database import APPENDED
from milepost.storage.records.base import Records, from_json, own

_AT_ONCE = 10_000


class Head(NamedTuple):
    """The end of the chain: how many entries there are, and the hash of the last one."""

    sequence: int
    hash: str


class AuditRecords(Records):
    """The audit log."""

    def audit(
        self,
        limit: int | None = None,
        *,
        subject: str | None = None,
        action: str | None = None,
    ) -> tuple[AuditEntry, ...]:
        """What was done, newest first.

        Args:
            limit: The most to return; ``None`` returns all.
            subject: Only what was done to this, such as ``route@production``.
            action: Only this kind of act, such as ``channel.moved``.
        """
        table = tables.audit
        wanted = {"subject": subject, "action": action}
        equal = {name: value for name, value in wanted.items() if value is not None}
        with self.database.read() as connection:
            rows = connection.execute(
                select(table)
                .where(*own(table, self.tenant, **equal))
                .order_by(table.c.sequence.desc())
                .limit(limit)
            ).all()
        return tuple(_entry(row) for row in rows)

    def audit_stream(self, after: int = 0) -> Iterator[AuditEntry]:
        """All entries after a position, oldest first, in bounded memory."""
        table = tables.audit
        while True:
            with self.database.read() as connection:
                rows = connection.execute(
                    select(table)
                    .where(*own(table, self.tenant), table.c.sequence > after)
                    .order_by(table.c.sequence)
                    .limit(_AT_ONCE)
                ).all()
            if not rows:
                return
            yield from (_entry(row) for row in rows)
            after = rows[-1].sequence

    def audit_head(self) -> Head:
        """Where the chain ends now; ``(0, GENESIS)`` for an empty log."""
        with self.database.read() as connection:
            return self._head(connection)

    def _head(self, connection: Connection) -> Head:
        table = tables.audit
        row = connection.execute(
            select(table.c.sequence, table.c.hash)
            .where(*own(table, self.tenant))
            .order_by(table.c.sequence.desc())
            .limit(1)
        ).one_or_none()
        return Head(0, GENESIS) if row is None else Head(row.sequence, row.hash)

    def _append_audit(
        self,
        connection: Connection,
        *,
        actor: str,
        action: str,
        subject: str,
        reason: str,
        details: Mapping[str, object],
    ) -> None:
        """Add an entry without a gap; within the caller's transaction, or not at all."""
        last = self._head(connection)
        sequence, now, stored = last.sequence + 1, self.clock(), canonical_json(details).decode()
        digest = entry_hash(
            last.hash,
            self.tenant,
            sequence,
            now,
            actor,
            self.role,
            action,
            subject,
            reason,
            stored,
        )
        connection.execute(
            insert(tables.audit).values(
                tenant=self.tenant,
                sequence=sequence,
                at=now,
                actor=actor,
                role=self.role,
                action=action,
                subject=subject,
                reason=reason,
                details=stored,
                hash=digest,
            )
        )
        connection.info[APPENDED] = (self.tenant, sequence, digest)


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
        sequence=row.sequence,
        at=row.at,
        actor=row.actor,
        role=row.role,
        action=row.action,
        subject=row.subject,
        reason=row.reason,
        details=from_json(row.details, dict[str, object], where=f"audit entry {row.sequence}"),
        hash=row.hash,
    )
