"""Commands about money: ``budget set``, ``budget list``, ``budget remove`` and ``spend``."""

from typing import Annotated

import typer

from milepost.cli.shared import (
    JsonOption,
    ReasonOption,
    WorkspaceOption,
    day_of,
    open_workspace,
    print_json,
    stdout,
)
from milepost.entities.model_calls import SpendBy
from milepost.entities.money import Period, usd

Scope = Annotated[
    str,
    typer.Argument(metavar="SCOPE", help="workspace, task:NAME, key:ID, upstream:NAME or job:ID."),
]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    group = typer.Typer(help="Say how much may be spent on language models.")
    group.command("set")(set_)
    group.command("list")(list_)
    group.command("remove")(remove)
    app.add_typer(group, name="budget")
    app.command("spend")(spend)


def set_(
    scope: Scope,
    usd_: Annotated[str, typer.Argument(metavar="USD", help="The most, such as 0.50.")],
    per: Annotated[
        Period, typer.Option("--per", help="UTC day, UTC month, or all time.")
    ] = "month",
    reason: ReasonOption = "set by hand",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Allow so much in a scope; what it cost in this period counts. It holds at once."""
    from milepost.reports.spending import budgets_table

    budget = open_workspace(workspace).set_budget(scope, usd_, period=per, reason=reason)
    if as_json:
        print_json(budget)
        return
    stdout().print(budgets_table([budget]))


def list_(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List all budgets: what is spent, reserved and left in this period."""
    from milepost.reports.spending import budgets_table

    opened = open_workspace(workspace)
    found = opened.budgets()
    if as_json:
        print_json({"budgets": found})
        return
    keys = opened.keys()
    stdout().print(budgets_table(found, {key.id: key.name for key in keys}))


def remove(
    scope: Scope, reason: ReasonOption = "removed by hand", workspace: WorkspaceOption = None
) -> None:
    """Let a scope be without a budget: what other budgets allow may be spent in it."""
    open_workspace(workspace).remove_budget(scope, reason=reason)
    stdout().print(f"{scope} has no budget any more.")


def spend(
    task: Annotated[
        str | None, typer.Argument(metavar="[TASK]", help="Only for this task.")
    ] = None,
    by: Annotated[SpendBy, typer.Option("--by", help="What the lines are.")] = "upstream",
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="DAY", help="First day (UTC). Default: of this month."),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="DAY", help="Last day (UTC). Default: today.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what language models cost: by upstream, task, key or day."""
    from milepost.reports.spending import spending_table

    found = open_workspace(workspace).spent(
        task, by=by, since=day_of(since, "--since"), until=day_of(until, "--until")
    )
    if as_json:
        print_json(found)
        return
    of = f"{found.task}, " if found.task else ""
    days = f"{found.since}" if found.since == found.until else f"{found.since} to {found.until}"
    whole = sum(group.micro_usd for group in found.groups)
    stdout().print(
        spending_table(
            found.groups,
            by=by,
            title=f"{of}{days} (UTC): {usd(whole)}",
            names=found.names,
            budgets=found.budgets,
        )
    )
