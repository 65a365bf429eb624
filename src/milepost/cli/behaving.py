"""The ``behave`` command."""

from typing import Annotated

import msgspec
import typer

from milepost.cli.shared import (
    CandidateOption,
    JsonOption,
    ReleaseOption,
    TaskArgument,
    WorkspaceOption,
    open_workspace,
    print_json,
    stdout,
)


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("behave")(behave)


def behave(
    task: TaskArgument,
    release: ReleaseOption = None,
    candidate: CandidateOption = None,
    file: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Also these cases must be answered right."),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Report the cases of --file by this column."),
    ] = None,
    at_least: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of the cases of --file that must pass.")
    ] = 1.0,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a task's declared tests of behaviour on a release; exit code 1 when one fails."""
    sheet = open_workspace(workspace).behave(
        task, release=release, candidate=candidate, file=file, by=by, at_least=at_least
    )
    if as_json:
        print_json(msgspec.to_builtins(sheet.behaved))
    else:
        stdout().print(sheet)
    if sheet.behaved.failed:
        raise typer.Exit(1)
