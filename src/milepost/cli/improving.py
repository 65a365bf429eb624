"""Commands about contests: ``improve`` and ``candidates``."""

from typing import Annotated

import typer

from milepost.cli.shared import (
    JsonOption,
    TaskArgument,
    WorkspaceOption,
    open_workspace,
    print_json,
    progress,
    seconds,
    stdout,
)
from milepost.reports.leaderboard import Leaderboard
from milepost.reports.plain import improve_json

AGAINST = ("rejected", "insufficient_evidence")


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("improve")(improve)
    app.command("candidates")(candidates)


def improve(
    tasks: Annotated[
        list[str] | None, typer.Argument(metavar="TASK", help="Tasks; all when left out.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(metavar="TIME", help="Time per task, such as 60s or 2m.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same choice and quality.")] = 0,
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Only this strategy; give it again for more. majority always takes part.",
        ),
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let strategies compete, judge them, and release what passes the gate.

    Ends with exit code 1 when a task was rejected or the evidence was insufficient.
    """
    opened = open_workspace(workspace)
    limit = seconds(budget)
    contests = []
    console = stdout()
    with progress() as on_event:
        for name in opened.task_names(tasks):
            result = opened.improve(
                name, budget=limit, seed=seed, strategies=strategy, on_event=on_event
            )
            contests.append(result.contest)
            if not as_json:
                console.print(Leaderboard(result.contest))
    if as_json:
        print_json(improve_json(contests))
    if any(contest.decision.verdict in AGAINST for contest in contests):
        raise typer.Exit(1)


def candidates(
    task: TaskArgument, workspace: WorkspaceOption = None, as_json: JsonOption = False
) -> None:
    """Show the candidates of a task's last contest."""
    contest = open_workspace(workspace).contest(task)
    if as_json:
        print_json(improve_json([contest]))
        return
    stdout().print(Leaderboard(contest, ids=True))
