"""Commands about keeping a workspace: ``backup``, ``restore`` and ``migrate-store``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from milepost.cli.shared import (
    JsonOption,
    ReasonOption,
    WorkspaceOption,
    open_workspace,
    print_json,
    progress,
    stdout,
)
from milepost.entities.errors import InputError

if TYPE_CHECKING:
    from milepost.workspace import Workspace

PlaceArgument = Annotated[str, typer.Argument(help="Folder of backups.", metavar="PLACE")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("backup")(backup)
    app.command("restore")(restore)
    app.command("migrate-store")(migrate_store)


def backup(
    place: PlaceArgument,
    only_list: Annotated[
        bool, typer.Option("--list", help="List the backups in PLACE; make none.")
    ] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Back up the workspace while it is in use: ledger, artifacts, tasks, data, checkpoints.

    The ledger is copied as it is at one moment, and every byte is read back. Backups in one PLACE
    share their artifacts, so that a second one adds what is new. Delete a backup by deleting its
    folder.
    """
    from milepost.reports.backups import backup_lines, backups_table

    if only_list:
        found = _workspaces().backups(place)
        print_json(found) if as_json else stdout().print(backups_table(found))
        return
    opened = open_workspace(workspace)
    with progress() as on_event:
        made = opened.backup(place, on_event=on_event)
    if as_json:
        print_json(made)
        return
    for line in backup_lines(made):
        stdout().print(line, soft_wrap=True)


def restore(
    place: PlaceArgument,
    directory: Annotated[
        Path | None, typer.Argument(help="A new or empty folder.", metavar="[DIR]")
    ] = None,
    which: Annotated[
        str | None, typer.Option("--backup", metavar="ID", help="Default: the newest.")
    ] = None,
    ledger: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Empty database for the ledger. Default: a SQLite file in DIR."
        ),
    ] = None,
    check_only: Annotated[
        bool, typer.Option("--check-only", help="Verify the backup; write nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a workspace from a backup, after every byte of it was verified."""
    from milepost.reports.backups import restored_lines

    if check_only:
        done = _workspaces().check_backup(place, which)
    elif directory is None:
        raise InputError("a restore needs a new folder.", advice="Name it after PLACE.")
    else:
        done = _workspaces().restore(place, directory, backup=which, ledger=ledger)[1]
    if as_json:
        print_json(done)
        return
    for line in restored_lines(done):
        stdout().print(line, soft_wrap=True)


def migrate_store(
    address: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            help="An empty database: postgresql://… or sqlite:///FILE. ${NAME} stands for an "
            "environment variable.",
        ),
    ],
    reason: ReasonOption = "moved by hand",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move the ledger to an empty database, SQLite to PostgreSQL or back.

    Every row is copied and compared while nobody else may write; then milepost.toml names the new
    one. The old ledger stays where it is and takes no more writes. Broken off at any moment, one
    of the two is in force and the next command goes on.
    """
    from milepost.reports.backups import moved_lines

    moved = open_workspace(workspace).migrate_store(address, reason=reason)
    if as_json:
        print_json(moved)
        return
    for line in moved_lines(moved):
        stdout().print(line, soft_wrap=True)


def _workspaces() -> "type[Workspace]":
    from milepost.workspace import Workspace

    return Workspace
