"""The part of the ledger about calls of language models: the books, from which bills follow."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, String, case, cast, func, insert, select

from milepost.entities.language import Tokens
from milepost.entities.model_calls import ModelCall, SpendBy, Spending
from milepost.storage import tables
from milepost.storage.records.audit import AuditRecords
from milepost.storage.records.base import own

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COUNTED = ("input", "output", "cached_input", "reasoning", "cache_write")


class ModelCallRecords(AuditRecords):
    """Calls, kept for good."""

    def add_model_calls(self, calls: Sequence[ModelCall]) -> None:
        """Keep calls that count in no budget; a group whose first is there already is left.

        ``settle`` keeps those that do, together with what they take from their budgets.
        """
        with self.database.write(self.tenant) as connection:
            self._add_calls(connection, calls)

    def model_calls(
        self,
        *,
        upstream: str | None = None,
        task: str | None = None,
        key: str | None = None,
        job: str | None = None,
        limit: int | None = None,
        before: str | None = None,
    ) -> tuple[ModelCall, ...]:
        """Calls, newest first.

        Args:
            upstream: Only of this one; ``None`` takes all, as with the others.
            task: Only for this task.
            key: Only of this key.
            job: Only of this job.
            limit: The most to return; ``None`` returns all.
            before: Only those older than the call of this id.
        """
        table = tables.model_calls
        wanted = {"upstream": upstream, "task": task, "key": key, "job": job}
        equal = {name: value for name, value in wanted.items() if value is not None}
        older = [] if before is None else [table.c.id < before]
        with self.database.read() as connection:
            rows = connection.execute(
                select(table)
                .where(*own(table, self.tenant, **equal), *older)
                .order_by(table.c.id.desc())
                .limit(limit)
            ).all()
        return tuple(_call(row) for row in rows)

    def spending(
        self,
        by: SpendBy = "upstream",
        *,
        since: date | None = None,
        until: date | None = None,
        task: str | None = None,
        key: str | None = None,
        job: str | None = None,
    ) -> tuple[Spending, ...]:
        """What calls cost, in groups: the dearest first, days in their order.

        Args:
            by: What they are grouped by.
            since: First day (UTC) that counts; ``None`` for all of them.
            until: Last day; ``None`` for all.
            task: Only for this task; ``None`` takes all, as with the others.
            key: Only of this key.
            job: Only of this job.
        """
        table = tables.model_calls
        wanted = {"task": task, "key": key, "job": job}
        equal = {name: value for name, value in wanted.items() if value is not None}
        where = own(table, self.tenant, **equal)
        if since is not None:
            where.append(table.c.id >= first_id(_midnight(since)))
        if until is not None:
            where.append(table.c.id < first_id(_midnight(until) + timedelta(days=1)))
        name = self._day() if by == "day" else func.coalesce(table.c[by], "")
        with self.database.read() as connection:
            rows = connection.execute(
                select(name.label("name"), *_sums()).where(*where).group_by(name)
            ).all()
        found = [_spending(row) for row in rows]
        if by == "day":
            return tuple(sorted(found, key=lambda each: each.name))
        return tuple(sorted(found, key=lambda each: (-each.micro_usd, -each.calls, each.name)))

    def _day(self) -> ColumnElement[str]:
        at = tables.model_calls.c.at
        if self.database.is_sqlite:
            return func.substr(cast(at, String), 1, 10)
        return func.to_char(func.timezone("UTC", at), "YYYY-MM-DD")

    def _add_calls(self, connection: Connection, calls: Sequence[ModelCall]) -> bool:
        """Store a group of calls; ``False`` where it is there already."""
        table = tables.model_calls
        if not calls:
            return True
        known = select(table.c.id).where(*own(table, self.tenant, id=calls[0].id))
        if connection.scalar(known) is not None:
            return False
        connection.execute(insert(table), [self._values(call) for call in calls])
        return True

    def _spent(self, connection: Connection, scope: str, since: datetime) -> int:
        """Micro-USD of a scope's calls that ended at a moment or later."""
        table = tables.model_calls
        kind, _, name = scope.partition(":")
        equal = {kind: name} if name else {}
        return (
            connection.scalar(
                select(func.coalesce(func.sum(table.c.micro_usd), 0)).where(
                    *own(table, self.tenant, **equal), table.c.id >= first_id(since)
                )
            )
            or 0
        )

    def _values(self, call: ModelCall) -> dict[str, object]:
        tokens = call.tokens
        return {
            "tenant": self.tenant,
            **{name: getattr(call, name) for name in call.__struct_fields__ if name != "tokens"},
            **{name: getattr(tokens, name) for name in _COUNTED},
        }


def first_id(moment: datetime) -> str:
    """What no id of a call that ended at a moment or later lies below."""
    return f"m{max(0, (moment - _EPOCH) // timedelta(milliseconds=1)):012x}"


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _sums() -> list[ColumnElement[int]]:
    table = tables.model_calls

    def many(condition: ColumnElement[bool], name: str) -> ColumnElement[int]:
        return func.sum(case((condition, 1), else_=0)).label(name)

    # PostgreSQL gives the sum of whole numbers as a decimal one, so all are made whole again.
    return [
        func.count().label("calls"),
        many(table.c.cached != "", "cached"),
        many(table.c.cached == "similar", "similar"),
        many(table.c.outcome != "ok", "failed"),
        many(table.c.priced.is_(False), "unpriced"),
        *(func.sum(table.c[name]).label(name) for name in _COUNTED),
        func.sum(table.c.micro_usd).label("micro_usd"),
        func.sum(table.c.estimated).label("estimated"),
    ]


def _spending(row: Row[Any]) -> Spending:
    return Spending(
        name=row.name,
        calls=row.calls,
        cached=int(row.cached),
        similar=int(row.similar),
        failed=int(row.failed),
        unpriced=int(row.unpriced),
        tokens=Tokens(**{name: int(getattr(row, name)) for name in _COUNTED}),
        micro_usd=int(row.micro_usd),
        estimated=int(row.estimated),
    )


def _call(row: Row[Any]) -> ModelCall:
    fields = {name: getattr(row, name) for name in ModelCall.__struct_fields__ if name != "tokens"}
    return ModelCall(**fields, tokens=Tokens(**{name: getattr(row, name) for name in _COUNTED}))
