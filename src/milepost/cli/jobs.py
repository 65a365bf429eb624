"""Commands about long work: ``jobs`` and ``jobs cancel``."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from milepost.cli.shared import (
    GIVEN_WORKSPACE,
    JsonOption,
    ReasonOption,
    WorkspaceOption,
    open_workspace,
    print_json,
    stdout,
)
from milepost.entities.errors import InputError
from milepost.reports.jobs import jobs_table

if TYPE_CHECKING:
    from milepost.entities.job import Job

LOOK_SECONDS = 1.0
"""Between two looks of ``--watch``."""


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    group = typer.Typer()
    group.callback(invoke_without_command=True)(jobs)
    group.command("cancel")(cancel)
    app.add_typer(group, name="jobs")


def jobs(
    context: typer.Context,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every second until nothing runs.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Also those that have ended, newest first.")
    ] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what runs, from any terminal, and what was interrupted and can go on."""
    if context.invoked_subcommand is not None:
        GIVEN_WORKSPACE.set(workspace or GIVEN_WORKSPACE.get())
        return
    if watch and as_json:
        raise InputError("--watch shows a table.", advice="Leave out --json, or --watch.")
    opened = open_workspace(workspace)
    if watch:
        _watch(lambda: opened.jobs(ended=every))
    elif as_json:
        print_json({"jobs": opened.jobs(ended=every)})
    else:
        stdout().print(jobs_table(opened.jobs(ended=every), datetime.now(UTC)))


def cancel(
    job: Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.")],
    reason: ReasonOption = "cancelled by hand",
    workspace: WorkspaceOption = None,
) -> None:
    """End a job for good: its process stops at its next step, and the next run begins anew."""
    ended = open_workspace(workspace).cancel_job(job, reason=reason)
    stdout().print(f"{ended.kind} {ended.subject}: job {ended.id} is cancelled.")


def _watch(look: "Callable[[], list[Job]]") -> None:
    """Show jobs as they go on; outside a terminal only the last state is left."""
    from rich.live import Live

    with Live(console=stdout(), auto_refresh=False) as live:
        while True:
            found = look()
            live.update(jobs_table(found, datetime.now(UTC)), refresh=True)
            if not any(job.status == "running" for job in found):
                return
            time.sleep(LOOK_SECONDS)
