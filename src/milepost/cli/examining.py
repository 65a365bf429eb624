"""The ``examine`` command."""

from pathlib import Path
from typing import Annotated

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
from milepost.reports.plain import examine_json


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("examine")(examine)


def examine(
    task: TaskArgument,
    release: ReleaseOption = None,
    candidate: CandidateOption = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write it as an HTML page with charts.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a close examination found: weak slices, groups, changes, doubts, privacy.

    Of the release in production, or of the last contest's candidate where there is none.
    """
    opened = open_workspace(workspace)
    found = opened.examine(task, release=release, candidate=candidate)
    if as_json:
        print_json(examine_json(found.examined))
    else:
        stdout().print(found)
    # Beside JSON, standard output holds nothing else.
    if output is not None:
        typer.echo(f"Wrote {opened.write_examination(found, output)}.", err=as_json)
