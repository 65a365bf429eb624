"""The part of the ledger about upstreams: where language models are and what they cost.

A row is never changed: a change is a further version, and so is a removal. It never holds a key,
only where one is.
"""

from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from milepost._base.digest import sha256_bytes
from milepost.entities.errors import ConflictError, UnknownNameError
from milepost.entities.ids import Digest
from milepost.entities.upstream import Upstream, UpstreamVersion
from milepost.storage import tables
from milepost.storage.records.audit import AuditRecords
from milepost.storage.records.base import from_json, own, to_json


class UpstreamRecords(AuditRecords):
    """Upstreams by name, with every version that there was; each act has its audit entry."""

    def add_upstream(
        self,
        upstream: Upstream,
        *,
        reason: str,
        actor: str = tables.DEFAULT,
        replace: bool = False,
    ) -> UpstreamVersion:
        """Keep an upstream; the same once more changes nothing.

        Args:
            upstream: What is to be known of it from now on.
            reason: Why, in words.
            actor: Who.
            replace: Whether one of this name that says otherwise is replaced.

        Raises:
            ConflictError: If there is another of this name and ``replace`` is not set.
        """
        record = to_json(upstream)
        with self.database.write(self.tenant) as connection:
            last = self._last_upstream(connection, upstream.name)
            if last is not None and last.record == record:
                return _version(last)
            known = last is not None and last.record is not None
            if known and not replace:
                raise ConflictError(
                    f"there is an upstream {upstream.name!r} already, and it is another one.",
                    advice="Take another name, or say that it is to be replaced (--replace).",
                )
            action = "upstream.changed" if known else "upstream.added"
            return self._store_upstream(connection, upstream.name, record, action, actor, reason)

    def remove_upstream(
        self, name: str, *, reason: str, actor: str = tables.DEFAULT
    ) -> UpstreamVersion:
        """Let an upstream be asked no more; its versions stay.

        Raises:
            UnknownNameError: If there is none.
        """
        with self.database.write(self.tenant) as connection:
            self._require_upstream(connection, name)
            return self._store_upstream(connection, name, None, "upstream.removed", actor, reason)

    def upstreams(self) -> tuple[Upstream, ...]:
        """All that can be asked, by name."""
        with self.database.read() as connection:
            rows = self._upstream_rows(connection)
        return tuple(from_json(text, Upstream, where=f"upstream {name}") for name, text in rows)

    def upstream(self, name: str) -> Upstream:
        """One that can be asked.

        Raises:
            UnknownNameError: If there is none of this name, with the nearest ones.
        """
        with self.database.read() as connection:
            row = self._require_upstream(connection, name)
        return from_json(row.record, Upstream, where=f"upstream {name}")

    def upstream_versions(self, name: str) -> tuple[UpstreamVersion, ...]:
        """Everything that was ever known of it, oldest first; empty for an unknown name."""
        table = tables.upstreams
        with self.database.read() as connection:
            rows = connection.execute(
                select(table).where(*own(table, self.tenant, name=name)).order_by(table.c.number)
            ).all()
        return tuple(_version(row) for row in rows)

    def _upstream_rows(self, connection: Connection) -> list[tuple[str, str]]:
        """Name and record of each that was not removed, by name."""
        table = tables.upstreams
        newest = (
            select(table.c.name, func.max(table.c.number).label("number"))
            .where(table.c.tenant == self.tenant)
            .group_by(table.c.name)
            .subquery()
        )
        rows = connection.execute(
            select(table.c.name, table.c.record)
            .join(newest, (table.c.name == newest.c.name) & (table.c.number == newest.c.number))
            .where(table.c.tenant == self.tenant, table.c.record.is_not(None))
            .order_by(table.c.name)
        ).all()
        return [(row.name, row.record) for row in rows]

    def _store_upstream(
        self,
        connection: Connection,
        name: str,
        record: str | None,
        action: str,
        actor: str,
        reason: str,
    ) -> UpstreamVersion:
        last = self._last_upstream(connection, name)
        number = 1 if last is None else last.number + 1
        connection.execute(
            insert(tables.upstreams).values(
                tenant=self.tenant,
                name=name,
                number=number,
                record=record,
                created=self.clock(),
                actor=actor,
            )
        )
        self._append_audit(
            connection,
            actor=actor,
            action=action,
            subject=name,
            reason=reason,
            details={"version": number, "upstream": upstream_digest(record)},
        )
        stored = self._last_upstream(connection, name)
        assert stored is not None  # noqa: S101 - it was just written
        return _version(stored)

    def _last_upstream(self, connection: Connection, name: str) -> Row[Any] | None:
        table = tables.upstreams
        return connection.execute(
            select(table)
            .where(*own(table, self.tenant, name=name))
            .order_by(table.c.number.desc())
            .limit(1)
        ).one_or_none()

    def _require_upstream(self, connection: Connection, name: str) -> Row[Any]:
        row = self._last_upstream(connection, name)
        if row is None or row.record is None:
            known = [each for each, _ in self._upstream_rows(connection)]
            raise UnknownNameError("upstream", name, known)
        return row


def upstream_digest(record: str | None) -> str | None:
    """What an audit entry says of an upstream; ``None`` of one that was removed."""
    return None if record is None else sha256_bytes(record.encode())


def _version(row: Row[Any]) -> UpstreamVersion:
    where = f"upstream {row.name}"
    known = None if row.record is None else from_json(row.record, Upstream, where=where)
    digest = upstream_digest(row.record)
    return UpstreamVersion(
        name=row.name,
        number=row.number,
        upstream=known,
        created=row.created,
        actor=row.actor,
        digest=None if digest is None else Digest(digest),
    )
