"""Commands about releases and channels: ``releases``, ``promote`` and ``rollback``."""

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


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("releases")(releases)
    app.command("promote")(promote)
    app.command("rollback")(rollback)


def releases(
    task: TaskArgument, workspace: WorkspaceOption = None, as_json: JsonOption = False
) -> None:
    """List the releases of a task and which one is in production."""
    opened = open_workspace(workspace)
    rows, channel = opened.releases(task), opened.channel(task)
    if as_json:
        print_json({"task": task, "production": channel, "releases": rows})
        return
    stdout().print(releases_table(rows, channel))


def promote(
    task: TaskArgument,
    release: Annotated[int, typer.Argument(help="Number of the release.")],
    reason: ReasonOption = "promoted by hand",
    workspace: WorkspaceOption = None,
) -> None:
    """Point production at a release."""
    channel = open_workspace(workspace).promote(task, release, reason=reason)
    stdout().print(f"{task}@{channel.name} is now release {channel.release}.")


def rollback(
    task: TaskArgument,
    reason: ReasonOption = "rolled back by hand",
    workspace: WorkspaceOption = None,
) -> None:
    """Point production back at the release before."""
    channel = open_workspace(workspace).rollback(task, reason=reason)
    stdout().print(f"{task}@{channel.name} is now release {channel.release} again.")
