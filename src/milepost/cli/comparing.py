"""The ``compare`` command."""

from pathlib import Path
from typing import Annotated

import typer

from milepost.cli.shared import (
    JsonOption,
    TaskArgument,
    WorkspaceOption,
    open_workspace,
    print_json,
    progress,
    stdout,
)

_WHO = "A release (3), a channel (production), a strategy of the last contest, or a candidate's id."


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("compare")(compare)


def compare(
    task: TaskArgument,
    first: Annotated[str, typer.Argument(metavar="A", help=_WHO)],
    second: Annotated[str, typer.Argument(metavar="B", help="The same, of the one to judge.")],
    on: Annotated[
        str | None,
        typer.Option(
            "--on",
            metavar="FILE",
            help="Labelled file to ask both about. Default: what their contests judged on.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Also write one self-contained HTML page."),
    ] = None,
    top: Annotated[int, typer.Option("--top", help="Examples shown of each kind.")] = 5,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what B does differently from A: how much, on which labels, slices and inputs."""
    from milepost.reports.comparison.table import difference_table

    opened = open_workspace(workspace)
    with progress() as on_event:
        found = opened.compare(task, first, second, on=on, top=top, on_event=on_event)
    if as_json:
        print_json(found)
    else:
        stdout().print(difference_table(found))
    if output is not None:
        opened.write_comparison(found, output)
        if not as_json:
            stdout().print(f"Wrote {output}.", soft_wrap=True)
