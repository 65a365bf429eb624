"""Commands that change a task between two contests: ``learn`` and ``forget``."""

from typing import Annotated

import typer

from milepost.cli.shared import (
    JsonOption,
    ReasonOption,
    TaskArgument,
    WorkspaceOption,
    open_workspace,
    print_json,
    progress,
    stdout,
)
from milepost.entities.errors import InputError
from milepost.entities.task import inputs_of


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("learn")(learn)
    app.command("forget")(forget)


def learn(
    task: TaskArgument,
    text: Annotated[
        list[str], typer.Argument(help="The input; of a task with several a text for each.")
    ],
    label: Annotated[
        str, typer.Argument(help='The right label; labels as a|b or ["a", "b"], or the score.')
    ],
    reason: ReasonOption = "taught by hand",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Teach a task one label; a closed-form head answers with it at once."""
    from milepost.reports.learning import learned_document

    opened = open_workspace(workspace)
    given = inputs_of(opened.task(task), text)
    if len(given) != 1:
        raise InputError(
            f"{len(text)} texts are {len(given)} inputs.",
            where="TEXT",
            advice="One is taught at a time; put a text of several words into quotes.",
        )
    came = opened.learn(task, given[0], label, reason=reason)
    if as_json:
        print_json(came)
    else:
        stdout().print(learned_document(came))


def forget(
    task: TaskArgument,
    reason: Annotated[
        str,
        typer.Option(
            "--reason", help="Why; kept for good, so say nothing in it that is to be forgotten."
        ),
    ],
    where: Annotated[
        str | None,
        typer.Option(
            "--where", metavar="SQL", help="Forget examples for which this holds, as in slices."
        ),
    ] = None,
    identity: Annotated[
        list[str] | None,
        typer.Option("--id", metavar="ID", help="Forget this example; give it again for more."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    no_improve: Annotated[
        bool,
        typer.Option("--no-improve", help="Hold no contest to replace what learned from them."),
    ] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take examples out of a task's data, snapshots and heads; there is no way back.

    A contest then replaces the release in production, where that learned from them: under the same
    gate, but without a comparison that could keep it. Ends with exit code 1 when that contest
    releases nothing.
    """
    from milepost.reports.leaderboard import Leaderboard
    from milepost.reports.learning import forgotten_document

    opened = open_workspace(workspace)
    done = opened.forget(task, where=where, ids=identity or (), reason=reason, dry_run=dry_run)
    if as_json:
        print_json(done)
    else:
        stdout().print(forgotten_document(done))
    if dry_run or no_improve or done.release not in done.releases:
        return
    with progress() as on_event:
        result = opened.improve(task, on_event=on_event)
    if not as_json:
        stdout().print(Leaderboard(result.contest))
    if result.contest.release is None:
        raise typer.Exit(1)
