"""Commands about releases and channels: ``releases``, ``approve``, ``promote``, ``rollback``."""

from typing import Annotated

import typer

from milepost.cli.shared import (
    JsonOption,
    ReasonOption,
    TaskArgument,
    WorkspaceOption,
    open_workspace,
    print_json,
    stdout,
)
from milepost.reports.tables import releases_table
from milepost.reports.words import approved_words

SHOWN = 20
OVERTAKEN = 1

NumberArgument = Annotated[int, typer.Argument(help="Number of the release.")]
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--idempotency-key",
        metavar="KEY",
        help="Asked again with the same key, the command does nothing and says the same.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("releases")(releases)
    app.command("approve")(approve)
    app.command("promote")(promote)
    app.command("rollback")(rollback)


def releases(
    task: TaskArgument,
    every: Annotated[
        bool, typer.Option("--all", help=f"All of them, not only the newest {SHOWN}.")
    ] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the newest releases of a task, who approved them, and where each one runs."""
    opened = open_workspace(workspace)
    rows, channels = opened.releases(task, None if every else SHOWN), opened.channels(task)
    approvals = opened.approvals(task, rows)
    channel = next((each for each in channels if each.name == "production"), None)
    beside = [each for each in channels if each is not channel]
    if as_json:
        more = rows[-1].number - 1 if rows else 0
        states = [approvals[row.number] for row in rows]
        print_json(
            {
                "task": task,
                "production": channel,
                "channels": channels,
                "releases": rows,
                "approvals": states,
                "fidelity": opened.fidelities(rows),
                "more": more,
            }
        )
        return
    stdout().print(releases_table(rows, channel, approvals, beside))


def approve(
    task: TaskArgument,
    release: NumberArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the audit log.")],
    key: KeyOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Approve a release that somebody else made; the last approval puts it into production.

    Who approves is MILEPOST_ACTOR, else the name of the user. Ends with exit code 1 when
    production was moved since the release was made: then `milepost promote` decides.
    """
    came = open_workspace(workspace).approve(task, release, reason=reason, idempotency_key=key)
    if as_json:
        print_json(came)
    else:
        stdout().print(approved_words(came))
    if came.outcome == "overtaken":
        raise typer.Exit(OVERTAKEN)


def promote(
    task: TaskArgument,
    release: NumberArgument,
    reason: ReasonOption = "promoted by hand",
    key: KeyOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Point production at a release that has the approvals it needs."""
    opened = open_workspace(workspace)
    before = opened.channel(task)
    channel = opened.promote(task, release, reason=reason, idempotency_key=key)
    when = "already" if before and before.version == channel.version else "now"
    stdout().print(f"{task}@{channel.name} is {when} release {channel.release}.")


def rollback(
    task: TaskArgument,
    reason: ReasonOption = "rolled back by hand",
    key: KeyOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Point production back at the release before."""
    channel = open_workspace(workspace).rollback(task, reason=reason, idempotency_key=key)
    stdout().print(f"{task}@{channel.name} is now release {channel.release} again.")
