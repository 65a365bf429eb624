"""Commands about contests: ``improve`` and ``candidates``."""

import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated

import typer

from milepost.cli.joining import improve_together
from milepost.cli.shared import (
    JsonOption,
    TaskArgument,
    WorkspaceOption,
    open_workspace,
    print_json,
    progress,
    seconds,
    settings,
    stdout,
)
from milepost.reports.leaderboard import Leaderboard
from milepost.reports.plain import improve_json
from milepost.reports.traces import learned_from
from milepost.reports.words import serves_words

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
        str | None,
        typer.Option(
            metavar="TIME",
            help="Time to fit, per task: 60s or 10m. With it strategies train and search.",
        ),
    ] = None,
    budget_usd: Annotated[
        float | None,
        typer.Option(
            metavar="USD",
            help="What language models may cost, per task; without it none is asked.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same choice and quality.")] = 0,
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Only this strategy; give it again for more. majority always takes part.",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="STRATEGY.PARAMETER=VALUE",
            help="Set a parameter by hand, such as head_logistic.c=3; again for more.",
        ),
    ] = None,
    with_feedback: Annotated[
        bool,
        typer.Option(
            "--with-feedback", help="Train also on what was said of answers; it judges nothing."
        ),
    ] = False,
    together: Annotated[
        bool,
        typer.Option(
            "--together",
            help="Tune the encoder on all these tasks at once first; each contest judges it.",
        ),
    ] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let strategies compete, judge them, and release what passes the gate.

    Ends with exit code 1 when a task was rejected or the evidence was insufficient. However it
    ends, the same command goes on after the last strategy that was done.
    """
    opened = open_workspace(workspace)
    limit, by_hand = seconds(budget), settings(set_ or ())
    if together:
        options: dict[str, object] = {
            "budget": limit,
            "seed": seed,
            "strategies": strategy,
            "with_feedback": with_feedback,
            "budget_usd": budget_usd,
            "parameters": by_hand,
        }
        with _notes():
            verdicts = improve_together(opened, opened.task_names(tasks), options, as_json=as_json)
        if any(verdict in AGAINST for verdict in verdicts):
            raise typer.Exit(1)
        return
    contests = []
    console = stdout()
    with _notes(), progress() as on_event:
        for name in opened.task_names(tasks):
            result = opened.improve(
                name,
                budget=limit,
                seed=seed,
                strategies=strategy,
                with_feedback=with_feedback,
                budget_usd=budget_usd,
                parameters=by_hand,
                on_event=on_event,
            )
            contests.append(result.contest)
            if not as_json:
                console.print(Leaderboard(result.contest))
                if result.serves is not None:
                    console.print(serves_words(*result.serves), style="dim")
                if with_feedback or any(f.check == "feedback" for f in result.quality.findings):
                    console.print(learned_from(result.quality))
    if as_json:
        print_json(improve_json(contests))
    if any(contest.decision.verdict in AGAINST for contest in contests):
        raise typer.Exit(1)


@contextmanager
def _notes() -> Generator[None]:
    """Show on standard error what jobs say, such as that one is resumed."""
    log, handler = logging.getLogger("milepost.jobs"), _Notes()
    level = log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """One line; looked up at each call, because a progress bar takes the stream over."""
        sys.stderr.write(f"{record.getMessage()}\n")


def candidates(
    task: TaskArgument, workspace: WorkspaceOption = None, as_json: JsonOption = False
) -> None:
    """Show the candidates of a task's last contest."""
    contest = open_workspace(workspace).contest(task)
    if as_json:
        print_json(improve_json([contest]))
        return
    stdout().print(Leaderboard(contest, ids=True))
