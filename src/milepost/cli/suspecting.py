"""The command about labels that are probably wrong: ``suspects``."""

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
    app.command("suspects")(suspects)


def suspects(
    task: TaskArgument,
    top: Annotated[int, typer.Option("--top", metavar="N", help="Rows to list.")] = 50,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Also write the listed rows, to be corrected."),
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the training rows whose label is probably wrong, with reasons; changes nothing."""
    opened = open_workspace(workspace)
    found = opened.suspects(task, top=top)
    if output is not None:
        opened.write_suspects(found, output)
    if as_json:
        print_json(found)
        return
    from milepost.reports.suspects import suspects_document

    stdout().print(suspects_document(found))
    if output is not None:
        typer.echo(f"Wrote {output}.")
