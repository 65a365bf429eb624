"""The part of the ledger about served answers: written in large groups, read in small ones.

Nothing counts on their order or number, so that their writers wait neither for each other nor for
a long write of somebody else.
"""

import secrets
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import delete, select

from milepost._base.clock import Clock
from milepost.entities.serving import Trace, TraceFilter
from milepost.storage import tables
from milepost.storage.database import Database
from milepost.storage.records.audit import AuditRecords
from milepost.storage.records.base import IN_PARTS, from_json, own

Expiring = tuple[Trace, datetime]
"""A trace and when it is to be removed, UTC."""

_AT_ONCE = 1000
_SLICE = 32

# One prepared statement for a group, sent as tuples: SQLAlchemy's own handling of each value takes
# as long again as the database. The same group again changes nothing, so that a writer whose
# answer was lost may repeat it.
_SQLITE = "INSERT OR IGNORE INTO traces VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_POSTGRES = """
INSERT INTO traces
SELECT %s, each.* FROM json_to_recordset(%s::json) AS each(
    id text, task text, release int, channel text, label text,
    at timestamptz, expires timestamptz, record text
) ON CONFLICT DO NOTHING
"""

_encoder = msgspec.json.Encoder()


class _Row(msgspec.Struct, frozen=True):
    """A row as PostgreSQL reads it from JSON."""

    id: str
    task: str
    release: int
    channel: str
    label: str | None
    at: datetime
    expires: datetime
    record: str


class TraceRecords(AuditRecords):
    """Traces, until they expire."""

    def __init__(
        self, database: Database, clock: Clock, tenant: str, role: str = tables.OWNER
    ) -> None:
        super().__init__(database, clock, tenant, role)
        # A lock of its own: see the module.
        self._lane = f"{tenant} traces {secrets.token_hex(8)}"

    def add_traces(self, traces: Sequence[Expiring]) -> None:
        """Keep a group of traces, all or none; those that are there already are left.

        Args:
            traces: Each with the moment from which it is to be removed.
        """
        if not traces:
            return
        statement, parameters = (
            (_SQLITE, self._tuples(traces))
            if self.database.is_sqlite
            else (_POSTGRES, (self.tenant, _recordset(traces)))
        )
        with self.database.write(self._lane) as connection:
            connection.exec_driver_sql(statement, parameters)

    def trace(self, id: str) -> Trace | None:  # noqa: A002 - the record's own word
        """A trace by its id; ``None`` when it was never kept, or has expired."""
        table = tables.traces
        with self.database.read() as connection:
            record = connection.scalar(
                select(table.c.record).where(*own(table, self.tenant, id=id))
            )
        return None if record is None else _trace(id, record)

    def traces(
        self,
        task: str | None = None,
        *,
        limit: int = 100,
        before: str | None = None,
        only: TraceFilter | None = None,
    ) -> tuple[Trace, ...]:
        """Traces, newest first.

        Args:
            task: Only this task's; ``None`` takes all.
            limit: The most to return.
            before: Only those older than the trace of this id.
            only: Which; ``None`` takes all.
        """
        table, wanted = tables.traces, only or TraceFilter()
        equal: dict[str, str | int] = {} if task is None else {"task": task}
        for name in ("label", "release", "channel"):
            if (value := getattr(wanted, name)) is not None:
                equal[name] = value
        found: list[Trace] = []
        while len(found) < limit:
            older = [] if before is None else [table.c.id < before]
            at_once = limit if wanted.in_columns else _AT_ONCE
            with self.database.read() as connection:
                rows = connection.execute(
                    select(table.c.id, table.c.record)
                    .where(*own(table, self.tenant, **equal), *older)
                    .order_by(table.c.id.desc())
                    .limit(at_once)
                ).all()
            read = (_trace(row.id, row.record) for row in rows)
            found.extend(trace for trace in read if wanted.takes(trace))
            if len(rows) < at_once:
                break
            before = rows[-1].id
        return tuple(found[:limit])

    def expire_traces(self, now: datetime | None = None, limit: int = 10_000) -> int:
        """Remove traces whose time has come, oldest first.

        Args:
            now: Those that expire until then; ``None`` takes the clock's.
            limit: The most to remove in this transaction, so that nobody waits long for it.

        Returns:
            How many were removed; with fewer than ``limit`` there are no more.
        """
        table, until = tables.traces, self.clock() if now is None else now
        with self.database.write(self._lane) as connection:
            ids = connection.scalars(
                select(table.c.id)
                .where(table.c.tenant == self.tenant, table.c.expires <= until)
                .order_by(table.c.expires)
                .limit(limit)
            ).all()
            for start in range(0, len(ids), IN_PARTS):
                connection.execute(
                    delete(table).where(
                        table.c.tenant == self.tenant, table.c.id.in_(ids[start : start + IN_PARTS])
                    )
                )
        return len(ids)

    def record_loss(self, answers: int, *, reason: str, actor: str = tables.DEFAULT) -> None:
        """Write into the audit log that so many answers were given whose traces are lost."""
        with self.database.write(self.tenant) as connection:
            self._append_audit(
                connection,
                actor=actor,
                action="traces.lost",
                subject="traces",
                reason=reason,
                details={"answers": answers},
            )

    def _tuples(self, traces: Sequence[Expiring]) -> list[tuple[Any, ...]]:
        tenant, rows = self.tenant, list[tuple[Any, ...]]()
        for trace, expires in traces:
            at = _moment(trace.at)
            known = (trace.id, trace.task, trace.release, trace.channel, trace.label)
            rows.append((tenant, *known, at, _moment(expires), _json(trace)))
            _give_way(rows)
        return rows


def _recordset(traces: Sequence[Expiring]) -> str:
    rows: list[_Row] = []
    for trace, expires in traces:
        known = (trace.id, trace.task, trace.release, trace.channel, trace.label)
        rows.append(_Row(*known, trace.at, expires, _json(trace)))
        _give_way(rows)
    return _encoder.encode(rows).decode()


def _give_way(rows: Sequence[object]) -> None:
    """Let another thread run after every few rows: one that answers requests must not wait."""
    if len(rows) % _SLICE == 0:
        time.sleep(0)


def _json(trace: Trace) -> str:
    """A trace as JSON text. Half a character, which no database takes, becomes a question mark.

    One text that cannot be stored must not hold up the group that it is in.
    """
    try:
        return _encoder.encode(trace).decode()
    except UnicodeEncodeError:
        whole = {
            name: value.encode(errors="replace").decode()
            for name in ("text", "subject", "request")
            if (value := getattr(trace, name))
        }
        return _encoder.encode(msgspec.structs.replace(trace, **whole)).decode()


def _moment(value: datetime) -> str:
    """As SQLAlchemy keeps a UTC moment in SQLite."""
    return value.strftime("%Y-%m-%d %H:%M:%S.%f")


def _trace(id: str, record: str) -> Trace:  # noqa: A002 - the record's own word
    return from_json(record, Trace, where=f"trace {id}")
