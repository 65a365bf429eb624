"""The ``report`` command."""

from pathlib import Path
from typing import Annotated

import typer

from milepost.cli.shared import WorkspaceOption, open_workspace, stdout


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("report")(report)


def report(
    task: Annotated[str | None, typer.Argument(metavar="TASK", help="Only this task.")] = None,
    output: Annotated[Path, typer.Option(metavar="FILE", help="HTML file to write.")] = Path(
        "report.html"
    ),
    charts: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Also write the charts as PNG files, one folder per task."
        ),
    ] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Write one self-contained HTML page about the workspace or a task."""
    opened = open_workspace(workspace)
    opened.report(task, output)
    stdout().print(f"Wrote {output}.", soft_wrap=True)
    if charts is not None:
        files = opened.charts(task, charts)
        stdout().print(f"Wrote {len(files)} charts to {charts}.", soft_wrap=True)
