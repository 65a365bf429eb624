"""Commands about tasks that learn from each other: ``affinity``, and ``improve --together``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from milepost.cli.shared import (
    JsonOption,
    WorkspaceOption,
    open_workspace,
    print_json,
    progress,
    stdout,
)
from milepost.reports.leaderboard import Leaderboard
from milepost.reports.plain import improve_json
from milepost.workspace import Workspace


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("affinity")(affinity)


def affinity(
    tasks: Annotated[
        list[str] | None, typer.Argument(metavar="TASK", help="Tasks; all when left out.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Also draw it: a .svg, .png or .html file."),
    ] = None,
    full: Annotated[bool, typer.Option("--all", help="Show every pair of tasks.")] = False,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Estimate which tasks help or harm which, and which to improve together. Trains nothing."""
    from milepost.reports.together.affinity import affinity_table

    opened = open_workspace(workspace)
    with progress() as on_event:
        found = opened.affinity(opened.task_names(tasks), seed=seed, on_event=on_event)
    if as_json:
        print_json(found)
    else:
        stdout().print(affinity_table(found, full=full))
    if output is not None:
        opened.draw_affinity(found, output)
        if not as_json:
            stdout().print(f"Wrote {output}.", soft_wrap=True)


def improve_together(
    opened: Workspace,
    tasks: Sequence[str],
    options: Mapping[str, object],
    *,
    as_json: bool,
) -> list[str]:
    """Improve tasks together and show what came of it; returns their verdicts.

    Args:
        opened: The workspace.
        tasks: Names of the tasks.
        options: As for ``Workspace.improve_together``.
        as_json: Whether to print records.
    """
    from milepost.reports.together.gains import gains_json, gains_table

    with progress() as on_event:
        done = opened.improve_together(tasks, on_event=on_event, **options)  # pyright: ignore[reportArgumentType]
    contests = [each.contest for each in done.improvements]
    if as_json:
        together = gains_json(done.record, done.gains, done.left_out)
        print_json({**improve_json(contests), "together": together})
    else:
        console = stdout()
        for contest in contests:
            console.print(Leaderboard(contest))
        console.print(gains_table(done.record, done.gains, done.left_out))
    return [contest.decision.verdict for contest in contests]
