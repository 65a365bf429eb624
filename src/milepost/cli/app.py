"""The ``milepost`` command: assembles the commands and turns errors into exit codes.

Exit codes: 0 done, 1 a verdict against, 2 bad input, 130 interrupted.
"""

import sys
from io import TextIOWrapper
from types import ModuleType
from typing import Annotated

import typer
from typer.exceptions import TyperException

from milepost.cli import (
    advising,
    answering,
    auditing,
    backups,
    behaving,
    comparing,
    data,
    examining,
    improving,
    jobs,
    keeping,
    keys,
    lineage,
    looking,
    prompting,
    rechecking,
    recording,
    releasing,
    reporting,
    serving,
    spending,
    suspecting,
    trying,
    upstreams,
    workspaces,
)
from milepost.cli.shared import GIVEN_WORKSPACE, WorkspaceOption, complain
from milepost.entities.errors import InputError, MilepostError

INTERRUPTED = 130

PANELS: dict[str, tuple[ModuleType, ...]] = {
    "Tasks and data": (workspaces, data, suspecting),
    "Contests": (improving, comparing, looking, jobs),
    "Language models": (upstreams, prompting, spending, advising),
    "Answers": (answering, behaving),
    "Releases": (releasing, trying, lineage, examining, reporting),
    "Serving": (
        serving,
        keys,
        recording,
        rechecking,
    ),
    "Keeping what is there": (keeping, backups, auditing),
}
"""Where the help shows the commands of each module."""

app = typer.Typer(
    name="milepost",
    help="From a first-mile prompt to measured last-mile specialists, task by task.",
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(show: bool) -> None:
    if show:
        from importlib.metadata import version

        typer.echo(f"milepost {version('milepost')}")
        raise typer.Exit


@app.callback()
def root(
    workspace: WorkspaceOption = None,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """From a first-mile prompt to measured last-mile specialists, task by task."""
    del version
    GIVEN_WORKSPACE.set(workspace)


for panel, modules in PANELS.items():
    for module in modules:
        groups, commands = len(app.registered_groups), len(app.registered_commands)
        module.register(app)
        for added in (*app.registered_groups[groups:], *app.registered_commands[commands:]):
            added.rich_help_panel = panel


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; without a command it shows the help."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # Half a character in somebody's file is shown as \\udc80, not as a traceback.
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(args=arguments or ["--help"], prog_name="milepost", standalone_mode=False)
    except MilepostError as error:
        complain(error)
        return error.exit_code
    except TyperException as error:
        complain(_misused(error))
        return InputError.exit_code
    if code == INTERRUPTED:
        said = "Interrupted. What was finished is kept; run the command again to go on."
        sys.stderr.write(f"\n{said}\n")
    return code if isinstance(code, int) else 0


def _misused(error: TyperException) -> InputError:
    """A wrong option or argument as one paragraph, like every other mistake."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "milepost"
    message = error.format_message().strip()
    end = "" if message.endswith((".", "?")) else "."
    return InputError(f"{message}{end}", advice=f"See `{command} -h`.")
