"""Budgets of a workspace, and what was spent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import get_args

from milepost.entities.errors import InputError, UnknownNameError
from milepost.entities.model_calls import SpendBy, Spending
from milepost.entities.money import WORKSPACE, Budget, Period
from milepost.workflows.context import Context
from milepost.workflows.language.registry import micro
from milepost.workflows.tasks.files import task_names


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What calls cost in some days.

    Attributes:
        by: What they are grouped by.
        task: Task that they were for; ``None`` for all.
        since: First day (UTC).
        until: Last day.
        groups: The dearest first; days in their order.
        budgets: Budgets of what is shown.
        names: Of keys, by id.
    """

    by: SpendBy
    task: str | None
    since: date
    until: date
    groups: tuple[Spending, ...]
    budgets: tuple[Budget, ...]
    names: dict[str, str]


def set_budget(
    context: Context, scope: str, amount: str | float, *, period: Period = "month", reason: str
) -> Budget:
    """Allow so much in a scope from now on; what it cost in this period counts.

    Args:
        context: The workspace.
        scope: ``workspace``, ``task:NAME``, ``key:ID``, ``upstream:NAME`` or ``job:ID``.
        amount: USD, such as ``0.50``; text is taken exactly.
        period: When it begins anew.
        reason: Why, for the audit log.

    Raises:
        InputError: If it is no scope or no amount.
        UnknownNameError: If there is no such task, key, upstream or period.
    """
    most = micro(amount, "USD")
    if period not in get_args(Period):
        raise UnknownNameError("period", str(period), get_args(Period), where="--per")
    _check_scope(context, scope)
    context.record_configuration()
    return context.ledger.set_budget(scope, most, period=period, reason=reason, actor=context.actor)


def remove_budget(context: Context, scope: str, *, reason: str) -> None:
    """Let a scope be without a budget.

    Raises:
        UnknownNameError: If it has none.
    """
    context.record_configuration()
    context.ledger.remove_budget(scope, reason=reason, actor=context.actor)


def budgets(context: Context) -> Sequence[Budget]:
    """All budgets, by scope. What killed processes left behind is counted first."""
    context.ledger.expire_reservations()
    return context.ledger.budgets()


def spent(
    context: Context,
    task: str | None = None,
    *,
    by: SpendBy = "upstream",
    since: date | None = None,
    until: date | None = None,
) -> Spent:
    """What calls cost, in groups.

    Args:
        context: The workspace.
        task: Only for this one; ``None`` takes all.
        by: What they are grouped by.
        since: First day (UTC); ``None`` for the first of this month.
        until: Last day; ``None`` for today.

    Raises:
        UnknownNameError: If there is no such task, or nothing to group by.
        InputError: If the days are in the wrong order.
    """
    if by not in get_args(SpendBy):
        raise UnknownNameError("grouping", str(by), get_args(SpendBy), where="--by")
    if task is not None and task not in (known := task_names(context.root)):
        raise UnknownNameError("task", task, known)
    today = context.clock().date()
    last = until or today
    first = since or last.replace(day=1)
    if first > last:
        raise InputError(f"{first} is after {last}.", where="--since, --until")
    groups = context.ledger.spending(by, since=first, until=last, task=task)
    keys = context.ledger.keys() if by == "key" else ()
    names = {key.id: key.name for key in keys}
    scopes = {WORKSPACE} if task is None else {f"task:{task}"}
    scopes |= {f"{by}:{group.name}" for group in groups if by != "day"}
    return Spent(
        by=by,
        task=task,
        since=first,
        until=last,
        groups=groups,
        budgets=tuple(each for each in budgets(context) if each.scope in scopes),
        names=names,
    )


def _check_scope(context: Context, scope: str) -> None:
    kind, _, name = scope.partition(":")
    if kind == "task" and name not in (known := task_names(context.root)):
        raise UnknownNameError("task", name, known)
    if kind == "key":
        context.ledger.key(name)
    if kind == "upstream":
        context.ledger.upstream(name)
