"""The command about promises that were made: ``recheck``."""

from pathlib import Path
from typing import Annotated

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
    app.command("recheck")(recheck)


def recheck(
    task: TaskArgument,
    release: Annotated[
        int | None, typer.Option(help="Release to check; the one in production by default.")
    ] = None,
    ask: Annotated[
        Path | None,
        typer.Option(help="Write what was drawn and nobody checked yet to this CSV file."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="That file with labels filled in; they are kept as feedback first."),
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold what a cascade promised against answers that people checked since.

    Ends with exit code 1 when the promise is shown to be broken.
    """
    from milepost.reports.cascades import recheck_table

    found = open_workspace(workspace).recheck(task, release=release, ask=ask, labels=labels)
    if as_json:
        print_json(found)
    else:
        stdout().print(recheck_table(found))
    if found.outcome == "broken":
        raise typer.Exit(1)
