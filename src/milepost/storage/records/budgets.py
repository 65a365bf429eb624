"""The part of the ledger about money: budgets, what is reserved of them, what was spent.

A process reserves before it spends, by conditional update: ``spent + reserved`` never passes the
budget, whoever else reserves at that moment. What it holds expires when it shows no sign of life,
and then counts as spent: its last calls may have cost that much, and nobody can say otherwise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from milepost.entities.errors import InputError, UnknownNameError
from milepost.entities.model_calls import ModelCall
from milepost.entities.money import WORKSPACE, Budget, Period, scopes, window_of
from milepost.storage import tables
from milepost.storage.records.base import own
from milepost.storage.records.model_calls import ModelCallRecords

KINDS = ("task", "key", "upstream", "job")
"""Scopes are ``workspace``, or one of these, a colon and a name."""

MOST_MICRO_USD = 10**15
"""A thousand million USD: sums of these fit into the 64 bits of a database."""


@dataclass(frozen=True, slots=True)
class Reserved:
    """What came of a reservation.

    Attributes:
        lacking: Scope whose budget does not allow it; ``None`` where all of it is reserved.
        budgets: The budgets that were asked, as they are now; scopes without one are left out.
    """

    lacking: str | None
    budgets: Mapping[str, Budget]


class _LackingError(Exception):
    """Ends a transaction that may not be done by half."""


class BudgetRecords(ModelCallRecords):
    """Budgets by scope, and reservations by the process that holds them."""

    def set_budget(
        self,
        scope: str,
        micro_usd: int,
        *,
        period: Period = "month",
        reason: str,
        actor: str = tables.DEFAULT,
    ) -> Budget:
        """Allow so much in a scope. What its calls cost already in this period counts.

        Args:
            scope: ``workspace``, ``task:NAME``, ``key:ID``, ``upstream:NAME`` or ``job:ID``.
            micro_usd: Most in a period, ≥ 0.
            period: When it begins anew.
            reason: Why, in words.
            actor: Who.

        Raises:
            InputError: If it is no such scope or amount.
        """
        kind, _, name = scope.partition(":")
        if scope != WORKSPACE and (kind not in KINDS or not name):
            raise InputError(
                f"{scope!r} is no scope of a budget.",
                advice=f"Known: {WORKSPACE}, {', '.join(f'{kind}:NAME' for kind in KINDS)}.",
            )
        if not 0 <= micro_usd <= MOST_MICRO_USD:
            raise InputError(f"{micro_usd} micro-USD are no budget: 0 to {MOST_MICRO_USD}.")
        table, now = tables.budgets, self.clock()
        window = window_of(period, now)
        with self.database.write(self.tenant) as connection:
            before = self._budget_rows(connection, [scope]).get(scope)
            values = {"micro_usd": micro_usd, "period": period, "updated": now, "actor": actor}
            if before is None or before.period != period:
                values |= {"window": window, "spent": self._spent(connection, scope, window)}
            if before is None:
                values["reserved"] = self._held(connection, scope)
                connection.execute(insert(table).values(tenant=self.tenant, scope=scope, **values))
            else:
                where = own(table, self.tenant, scope=scope)
                connection.execute(update(table).where(*where).values(**values))
            self._append_audit(
                connection,
                actor=actor,
                action="budget.set",
                subject=scope,
                reason=reason,
                details={
                    "micro_usd": micro_usd,
                    "period": period,
                    "before": None if before is None else before.micro_usd,
                },
            )
            return _budget(self._budget_rows(connection, [scope])[scope])

    def remove_budget(self, scope: str, *, reason: str, actor: str = tables.DEFAULT) -> None:
        """Let a scope be without a budget: what other scopes allow may be spent in it.

        Raises:
            UnknownNameError: If it has none.
        """
        table = tables.budgets
        with self.database.write(self.tenant) as connection:
            row = self._budget_rows(connection, [scope]).get(scope)
            if row is None:
                known = connection.scalars(
                    select(table.c.scope).where(table.c.tenant == self.tenant).limit(1000)
                )
                raise UnknownNameError("budget", scope, known)
            connection.execute(delete(table).where(*own(table, self.tenant, scope=scope)))
            self._append_audit(
                connection,
                actor=actor,
                action="budget.removed",
                subject=scope,
                reason=reason,
                details={"micro_usd": None, "before": row.micro_usd, "period": row.period},
            )

    def budgets(self) -> tuple[Budget, ...]:
        """All budgets, by scope; of one whose period is over, nothing is spent yet."""
        table, now = tables.budgets, self.clock()
        with self.database.read() as connection:
            rows = connection.execute(
                select(table).where(table.c.tenant == self.tenant).order_by(table.c.scope)
            ).all()
        return tuple(_current(_budget(row), now) for row in rows)

    def reserve(self, holder: str, amounts: Mapping[str, int], until: datetime) -> Reserved:
        """Reserve of several budgets at once: all of it, or nothing.

        Args:
            holder: Id of whoever reserves; what it has in a scope adds up.
            amounts: Micro-USD by scope, > 0; a scope without a budget needs no reservation.
            until: When all that the holder has expires, if it does not say more until then.
        """
        table = tables.budgets
        lacking: str | None = None
        asked = sorted(amounts)
        try:
            with self.database.write(self.tenant) as connection:
                rows = self._begin_windows(connection, asked)
                for scope in (each for each in asked if each in rows):
                    # Checked and taken by one statement: no other process can come between.
                    wanted = amounts[scope]
                    done = connection.execute(
                        update(table)
                        .where(
                            *own(table, self.tenant, scope=scope),
                            table.c.spent + table.c.reserved + wanted <= table.c.micro_usd,
                        )
                        .values(reserved=table.c.reserved + wanted)
                    )
                    if done.rowcount != 1:
                        lacking = scope
                        raise _LackingError
                    self._hold(connection, holder, scope, wanted, until)
                rows = self._budget_rows(connection, asked)
        except _LackingError:
            with self.database.read() as connection:
                rows = self._budget_rows(connection, asked)
        now = self.clock()
        found = {scope: _current(_budget(row), now) for scope, row in rows.items()}
        return Reserved(lacking, found)

    def settle(
        self,
        holder: str,
        calls: Sequence[ModelCall],
        taken: Mapping[str, int],
        until: datetime,
    ) -> bool:
        """Book calls, count what they cost as spent, and end reservations, all or nothing.

        The same group of calls again changes nothing, so that one whose reply was lost may be
        settled again.

        Args:
            holder: Who reserved.
            calls: Calls that have ended; each counts in all its scopes that have a budget.
            taken: Micro-USD by scope of the holder's reservations that end with this: for what
                the calls cost, and what is given back unused.
            until: When the rest of what it holds expires.

        Returns:
            Whether the holder still had its reservations. Where it had not, they expired, and
            count as spent already.
        """
        table, kept = tables.budgets, True
        spent = _by_scope(calls)
        touched = sorted({*taken, *spent})
        with self.database.write(self.tenant) as connection:
            if not self._add_calls(connection, calls):
                return True
            rows = self._begin_windows(connection, touched)
            held = self._holdings(connection, holder)
            for scope in touched:
                ended = min(taken.get(scope, 0), held.get(scope, 0))
                lost = taken.get(scope, 0) - ended
                kept = kept and (lost == 0 or scope not in rows)
                if ended:
                    self._hold(connection, holder, scope, -ended, until)
                if scope not in rows:
                    continue
                window = rows[scope].window
                # A call counts in the period in which it ended; earlier ones are over. What has
                # expired was counted then.
                costs = sum(cost for at, cost in spent.get(scope, ()) if at >= window)
                connection.execute(
                    update(table)
                    .where(*own(table, self.tenant, scope=scope))
                    .values(
                        reserved=table.c.reserved - ended,
                        spent=table.c.spent + max(0, costs - lost),
                    )
                )
            self._prolong(connection, holder, until)
        return kept

    def expire_reservations(self, now: datetime | None = None, limit: int = 1000) -> int:
        """End what processes left behind that show no sign of life; it counts as spent.

        Args:
            now: What expires until then; ``None`` takes the clock's time.
            limit: The most to end in this transaction.

        Returns:
            How many reservations were ended.
        """
        table, until = tables.reservations, now or self.clock()
        expired = (table.c.tenant == self.tenant, table.c.expires <= until)
        with self.database.read() as connection:
            if connection.scalar(select(table.c.id).where(*expired).limit(1)) is None:
                return 0
        with self.database.write(self.tenant) as connection:
            rows = connection.execute(
                select(table).where(*expired).order_by(table.c.expires).limit(limit)
            ).all()
            for row in rows:
                self._count_as_spent(connection, row)
        return len(rows)

    def _count_as_spent(self, connection: Connection, row: Row[Any]) -> None:
        table, left = tables.budgets, row.micro_usd
        where = own(tables.reservations, self.tenant, id=row.id, scope=row.scope)
        connection.execute(delete(tables.reservations).where(*where))
        known = self._begin_windows(connection, [row.scope])
        if not left or row.scope not in known:
            return
        connection.execute(
            update(table)
            .where(*own(table, self.tenant, scope=row.scope))
            .values(reserved=table.c.reserved - left, spent=table.c.spent + left)
        )
        self._append_audit(
            connection,
            actor=tables.DEFAULT,
            action="budget.lost",
            subject=row.scope,
            reason="a process ended without saying what its last calls cost",
            details={"micro_usd": left, "holder": row.id},
        )

    def _begin_windows(self, connection: Connection, asked: Sequence[str]) -> dict[str, Row[Any]]:
        """Budgets of these scopes, in the period of this moment."""
        table, now = tables.budgets, self.clock()
        rows = self._budget_rows(connection, asked)
        for scope, row in rows.items():
            window = window_of(row.period, now)
            # Only forward: of two machines the one whose clock is behind must not undo it.
            if row.window < window:
                connection.execute(
                    update(table)
                    .where(*own(table, self.tenant, scope=scope))
                    .values(window=window, spent=0)
                )
        return self._budget_rows(connection, asked)

    def _budget_rows(self, connection: Connection, asked: Sequence[str]) -> dict[str, Row[Any]]:
        table = tables.budgets
        rows = connection.execute(
            select(table).where(table.c.tenant == self.tenant, table.c.scope.in_(asked))
        ).all()
        return {row.scope: row for row in rows}

    def _holdings(self, connection: Connection, holder: str) -> dict[str, int]:
        table = tables.reservations
        rows = connection.execute(
            select(table.c.scope, table.c.micro_usd).where(*own(table, self.tenant, id=holder))
        ).all()
        return {row.scope: row.micro_usd for row in rows}

    def _held(self, connection: Connection, scope: str) -> int:
        """What processes hold of a scope whose budget was removed and is set again."""
        table = tables.reservations
        total = connection.scalar(
            select(func.coalesce(func.sum(table.c.micro_usd), 0)).where(
                *own(table, self.tenant, scope=scope)
            )
        )
        return int(total or 0)

    def _hold(
        self, connection: Connection, holder: str, scope: str, more: int, until: datetime
    ) -> None:
        table = tables.reservations
        where = own(table, self.tenant, id=holder, scope=scope)
        done = connection.execute(
            update(table).where(*where).values(micro_usd=table.c.micro_usd + more, expires=until)
        )
        if done.rowcount == 0:
            connection.execute(
                insert(table).values(
                    tenant=self.tenant, id=holder, scope=scope, micro_usd=more, expires=until
                )
            )
        elif more < 0:
            connection.execute(delete(table).where(*where, table.c.micro_usd <= 0))

    def _prolong(self, connection: Connection, holder: str, until: datetime) -> None:
        table = tables.reservations
        connection.execute(
            update(table).where(*own(table, self.tenant, id=holder)).values(expires=until)
        )


def _by_scope(calls: Sequence[ModelCall]) -> dict[str, list[tuple[datetime, int]]]:
    """When calls ended and what they cost, by scope."""
    found: dict[str, list[tuple[datetime, int]]] = {}
    for call in calls:
        if call.micro_usd:
            named = scopes(upstream=call.upstream, task=call.task, key=call.key, job=call.job)
            for scope in named:
                found.setdefault(scope, []).append((call.at, call.micro_usd))
    return found


def _budget(row: Row[Any]) -> Budget:
    return Budget(
        scope=row.scope,
        micro_usd=row.micro_usd,
        period=row.period,
        window=row.window,
        spent=row.spent,
        reserved=row.reserved,
    )


def _current(budget: Budget, now: datetime) -> Budget:
    window = window_of(budget.period, now)
    if budget.window is None or budget.window >= window:
        return budget
    return Budget(
        scope=budget.scope,
        micro_usd=budget.micro_usd,
        period=budget.period,
        window=window,
        reserved=budget.reserved,
    )
