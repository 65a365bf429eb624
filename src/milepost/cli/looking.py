"""The command about looks at what a task is judged on: ``looks``."""

import typer

from milepost.cli.shared import (
    JsonOption,
    TaskArgument,
    WorkspaceOption,
    open_workspace,
    print_json,
    stdout,
)


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("looks")(looks)


def looks(
    task: TaskArgument, workspace: WorkspaceOption = None, as_json: JsonOption = False
) -> None:
    """Show every look at what a task is judged on: who, when, what for, what it cost, what is left.

    A decision that releases nothing pays for its look. An evaluation or a comparison on
    the same messages is listed; it decides nothing and pays nothing.
    """
    from milepost.reports.looks import looks_table

    found = open_workspace(workspace).looks(task)
    if as_json:
        print_json(found)
        return
    stdout().print(looks_table(found))
