"""Commands about recorded answers and what was said of them: ``traces`` and ``feedback``."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from milepost.cli.shared import (
    JsonOption,
    TaskArgument,
    WorkspaceOption,
    open_workspace,
    print_json,
    stdout,
)
from milepost.entities.serving import TraceFilter


class _Listing(TyperGroup):
    """A group whose first word is one of its commands, or else the task that is listed."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Let a command have all words behind it; it has no task, so that a mark stands for one."""
        named = bool(args) and args[0] in self.commands
        ctx.allow_interspersed_args = not named
        return super().parse_args(ctx, ["-", *args] if named else args)


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    group = typer.Typer(cls=_Listing)
    group.callback(invoke_without_command=True)(traces)
    group.command("show")(show)
    app.add_typer(group, name="traces")
    group = typer.Typer(cls=_Listing)
    group.callback(invoke_without_command=True)(feedback)
    group.command("add")(add)
    app.add_typer(group, name="feedback")


LimitOption = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="The most to show.")]
BeforeOption = Annotated[
    str | None, typer.Option("--before", metavar="ID", help="Only what is older than this one.")
]
TraceArgument = Annotated[str, typer.Argument(metavar="TRACE", help="Id, as the answer gave it.")]


def traces(
    context: typer.Context,
    task: TaskArgument,
    limit: LimitOption = 20,
    before: BeforeOption = None,
    label: Annotated[
        str | None, typer.Option(metavar="LABEL", help="Only answers of this label.")
    ] = None,
    guard: Annotated[
        str | None, typer.Option(metavar="TASK", help="Only those that tripped this guard.")
    ] = None,
    release: Annotated[
        int | None, typer.Option("--release", metavar="N", help="Only answers of this release.")
    ] = None,
    key: Annotated[str | None, typer.Option(metavar="ID", help="Only what this key asked.")] = None,
    withheld: Annotated[
        bool, typer.Option("--withheld", help="Only answers that were withheld.")
    ] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the newest recorded answers of a task."""
    if context.invoked_subcommand is not None:
        return
    only = TraceFilter(
        label=label, guard=guard, release=release, key=key, abstained=True if withheld else None
    )
    found = open_workspace(workspace).traces(task, limit=limit, before=before, only=only)
    if as_json:
        print_json({"traces": found})
        return
    from milepost.reports.traces import traces_table

    stdout().print(traces_table(found))


def show(
    trace: TraceArgument, workspace: WorkspaceOption = None, as_json: JsonOption = False
) -> None:
    """Show all that was kept of one answer, and what was said of it."""
    opened = open_workspace(workspace)
    found, said = opened.trace(trace), opened.feedback(trace=trace)
    if as_json:
        print_json({"trace": found, "feedback": said})
        return
    from milepost.reports.traces import trace_document

    stdout().print(trace_document(found, said))


def feedback(
    context: typer.Context,
    task: TaskArgument,
    limit: LimitOption = 20,
    key: Annotated[str | None, typer.Option(metavar="ID", help="Only what this key said.")] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what was said of a task's answers, newest first, and count it."""
    if context.invoked_subcommand is not None:
        return
    found = open_workspace(workspace).feedback(task, key=key)
    if as_json:
        print_json({"feedback": found[:limit], "count": len(found)})
        return
    from milepost.reports.traces import feedback_table

    stdout().print(feedback_table(found, limit))


def add(
    trace: TraceArgument,
    label: Annotated[str | None, typer.Option(metavar="LABEL", help="The right label.")] = None,
    rating: Annotated[
        float | None, typer.Option(metavar="R", help="From 0 (useless) to 1 (right).")
    ] = None,
    comment: Annotated[str | None, typer.Option(metavar="TEXT", help="In words.")] = None,
    text: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="The input, where the trace did not keep it."),
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what the right answer would have been, or how good it was."""
    said, new = open_workspace(workspace).give_feedback(
        trace, label=label, rating=rating, comment=comment, text=text
    )
    if as_json:
        print_json({"feedback": said, "new": new})
    elif new:
        stdout().print(f"Kept as {said.id}. Use it: milepost improve {said.task} --with-feedback")
    else:
        stdout().print(f"That was said before, as {said.id}.")
