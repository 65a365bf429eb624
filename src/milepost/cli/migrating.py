"""The ``migrate`` command."""

from typing import TYPE_CHECKING, Annotated, cast

import typer

from milepost.cli.shared import (
    JsonOption,
    WorkspaceOption,
    open_workspace,
    print_json,
    progress,
    stdout,
)

if TYPE_CHECKING:
    from milepost.entities.migration import Move

LOSS = 0.02


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("migrate")(migrate)


def migrate(
    encoder: Annotated[
        str, typer.Option("--encoder", metavar="X", help="embedded, a folder or a hub id.")
    ],
    tasks: Annotated[
        list[str] | None, typer.Argument(metavar="TASK", help="Tasks; all when left out.")
    ] = None,
    move: Annotated[
        str,
        typer.Option(
            "--move",
            metavar="HOW",
            help="each: by its own verdict. all: all tasks or none, by what they lose together. "
            "none: only say the verdicts.",
        ),
    ] = "each",
    loss: Annotated[
        float,
        typer.Option("--loss", help="Largest loss of a task's metric that is accepted."),
    ] = LOSS,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move tasks to another encoder, with a verdict for each.

    The strategy in production is refitted on the other encoder and judged beside it on the same
    examples. A task moves where it is shown to be better, or to lose no more than is accepted; a
    task that stays is answered on its encoder as before. Ends with exit code 1 when a judged task
    did not move. However it ends, the same command goes on after the last task that was judged.
    """
    from milepost.reports.migration import migration_table

    opened = open_workspace(workspace)
    with progress() as on_event:
        found = opened.migrate(
            encoder, tasks, move=cast("Move", move), loss=loss, on_event=on_event
        )
    if as_json:
        print_json({"all_moved": not found.stayed, "migration": found})
    else:
        stdout().print(migration_table(found))
    if found.stayed:
        raise typer.Exit(1)
