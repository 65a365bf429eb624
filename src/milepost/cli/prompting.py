"""Commands about prompts: ``prompts``, ``prompts show``, ``diff``, ``promote`` and ``add``."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from milepost.cli.shared import (
    JsonOption,
    ReasonOption,
    TaskArgument,
    WorkspaceOption,
    open_workspace,
    print_json,
    stdout,
)

_WHICH = "Number of a version, an alias, or built-in."


class _TaskOrCommand(TyperGroup):
    """``milepost prompts TASK`` is ``milepost prompts list TASK``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``list`` before what is no command's name."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = ["list", *args]
        return super().parse_args(ctx, args)


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    group = typer.Typer(
        cls=_TaskOrCommand,
        invoke_without_command=True,
    )
    group.callback()(prompts)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("diff")(diff)
    group.command("promote")(promote)
    group.command("add")(add)
    app.add_typer(group, name="prompts")


def prompts(context: typer.Context) -> None:
    """Show a task's prompts with what came of them; keep, compare and promote them.

    A task's name in place of a command lists its prompts.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def list_(
    task: TaskArgument, workspace: WorkspaceOption = None, as_json: JsonOption = False
) -> None:
    """List a task's prompts, newest first, with what came of each in the newest contest."""
    from milepost.reports.prompts import prompts_table

    found = open_workspace(workspace).prompts(task)
    if as_json:
        print_json(found)
        return
    stdout().print(prompts_table(found, task))


def show(
    task: TaskArgument,
    which: Annotated[
        str | None,
        typer.Argument(
            metavar="PROMPT",
            help=f"{_WHICH} Default: what contests start from.",
            show_default=False,
        ),
    ] = None,
    as_toml: Annotated[
        bool, typer.Option("--toml", help="Print it as a file that `prompts add` reads.")
    ] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one prompt in full, and what came of it."""
    from milepost.reports.prompts import prompt_page

    opened = open_workspace(workspace)
    if as_toml:
        typer.echo(opened.prompt_as_toml(task, which), nl=False)
        return
    found = opened.prompt(task, which)
    if as_json:
        print_json(found)
        return
    stdout().print(prompt_page(found))


def diff(
    task: TaskArgument,
    first: Annotated[str, typer.Argument(metavar="FIRST", help=_WHICH)],
    second: Annotated[str, typer.Argument(metavar="SECOND", help=_WHICH)],
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show word by word what a second prompt says otherwise than a first."""
    from milepost.reports.prompts import prompt_difference

    templates = open_workspace(workspace).prompt_templates(task, first, second)
    if as_json:
        changed = str(prompt_difference(*templates)).splitlines()
        print_json({"first": templates[0], "second": templates[1], "changes": changed})
        return
    stdout().print(prompt_difference(*templates))


def promote(
    task: TaskArgument,
    which: Annotated[
        str, typer.Argument(metavar="PROMPT", help="Number of a version, or an alias.")
    ],
    alias: Annotated[
        str, typer.Option("--alias", help="Which alias is to point at it.")
    ] = "production",
    reason: ReasonOption = "promoted by hand",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Point an alias at a version; contests start from the one that production points at."""
    moved = open_workspace(workspace).promote_prompt(task, which, alias=alias, reason=reason)
    if as_json:
        print_json(moved)
        return
    stdout().print(f"{moved.alias} of {task} points at prompt {moved.number} now.", markup=False)


def add(
    task: TaskArgument,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="TOML with a prompt, or a Jinja template of the user message."
        ),
    ],
    parent: Annotated[
        str | None,
        typer.Option("--parent", metavar="PROMPT", help="Version that it was made from."),
    ] = None,
    note: Annotated[str, typer.Option("--note", help="Why, in words.")] = "",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep a prompt of your own as a version, once it is known to work for the task."""
    kept = open_workspace(workspace).add_prompt(task, file, parent=parent, note=note)
    if as_json:
        print_json(kept)
        return
    stdout().print(
        f"Prompt {kept.number} of {task} is kept; contests start from it after "
        f"`milepost prompts promote {task} {kept.number}`.",
        markup=False,
    )
