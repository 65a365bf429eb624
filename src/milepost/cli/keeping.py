"""Commands that look after what is stored: ``gc`` and ``verify``."""

from typing import TYPE_CHECKING, Annotated

import typer

from milepost.cli.shared import (
    JsonOption,
    WorkspaceOption,
    open_workspace,
    print_json,
    progress,
    seconds,
    stdout,
)

if TYPE_CHECKING:
    from milepost.workspace import Workspace


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("gc")(gc)
    app.command("verify")(verify)


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than",
            metavar="AGE",
            help="Leave what was put since, such as 90m or 48h; at least 10 minutes. "
            "Default: garbage_hours.",
            show_default=False,
        ),
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete stored bytes that no release, candidate, running job or backup needs."""
    from milepost.reports.upkeep.artifacts import collection_table

    age = seconds(older_than, "--older-than", zero=True)
    opened = open_workspace(workspace)
    with progress() as on_event:
        collection = opened.collect(
            older_than=None if age is None else age / 3600, dry_run=dry_run, on_event=on_event
        )
    if as_json:
        print_json(collection)
        return
    stdout().print(collection_table(collection))


def verify(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[TASK[@CHANNEL|#N]]",
            help="Releases to read. Default: all of all tasks.",
            show_default=False,
        ),
    ] = None,
    number: Annotated[
        int | None,
        typer.Argument(
            metavar="[N]",
            help="Recompute every number of this release of TASK, and compare.",
            show_default=False,
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also read every other stored byte.")
    ] = False,
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance", metavar="X", help="With N: differences up to X count as the same."
        ),
    ] = 0.0,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read every byte of the releases and hold it against every record of it.

    With TASK and N it recomputes the scorecard of that release from its digests instead, and says
    whether every number is the same.
    """
    from milepost.reports.upkeep.artifacts import verification_table

    opened = open_workspace(workspace)
    if target is not None and number is not None:
        _recompute(opened, target, number, tolerance, as_json=as_json)
        return
    with progress() as on_event:
        found = opened.verify(target, everything=everything, on_event=on_event)
    if as_json:
        print_json({"sound": found.sound, "verification": found})
    else:
        stdout().print(verification_table(found))
    if not found.sound:
        raise typer.Exit(1)


def _recompute(
    opened: "Workspace", task: str, number: int, tolerance: float, *, as_json: bool
) -> None:
    from milepost.reports.upkeep.reproduction import reproduction_table

    with progress() as on_event:
        found = opened.reproduce(task, number, tolerance=tolerance, on_event=on_event)
    if as_json:
        print_json({"holds": found.holds, "reproduction": found})
    else:
        stdout().print(reproduction_table(found))
    if not found.holds:
        raise typer.Exit(1)
