"""The ``milepost`` command: assembles the commands and turns errors into exit codes.

Exit codes: 0 done, 1 a verdict against, 2 bad input, 130 interrupted.
"""

import sys
from importlib import import_module
from io import TextIOWrapper
from typing import Annotated

import typer
from typer.exceptions import TyperException

from milepost.cli.shared import GIVEN_WORKSPACE, WorkspaceOption, complain
from milepost.entities.errors import InputError, MilepostError

INTERRUPTED = 130

COMMANDS: dict[str, dict[str, tuple[str, ...]]] = {
    "Tasks and data": {
        "workspaces": ("init", "doctor"),
        "data": ("tasks", "add", "check"),
        "suspecting": ("suspects",),
    },
    "Contests": {
        "improving": ("improve", "candidates"),
        "joining": ("affinity",),
        "comparing": ("compare",),
        "looking": ("looks",),
        "jobs": ("jobs",),
    },
    "Language models": {
        "upstreams": ("upstreams",),
        "prompting": ("prompts",),
        "spending": ("budget", "spend"),
        "advising": ("advise",),
    },
    "Answers": {
        "answering": ("predict", "evaluate", "export"),
        "learning": ("learn", "forget"),
        "behaving": ("behave",),
    },
    "Releases": {
        "releasing": ("releases", "approve", "promote", "rollback"),
        "trying": ("canary", "shadow", "ab"),
        "migrating": ("migrate",),
        "lineage": ("lineage", "card"),
        "examining": ("examine",),
        "reporting": ("report",),
    },
    "Serving": {
        "serving": ("serve",),
        "keys": ("keys",),
        "recording": ("traces", "feedback"),
        "rechecking": ("recheck",),
    },
    "Keeping what is there": {
        "keeping": ("gc", "verify"),
        "backups": ("backup", "restore", "migrate-store"),
        "auditing": ("audit",),
    },
}
"""Where the help shows the commands of each module, in the order of the help.

A command line loads the module of its own command alone, which saves it a quarter of a second.
"""


def _version(show: bool) -> None:
    if show:
        from importlib.metadata import version

        typer.echo(f"milepost {version('milepost')}")
        raise typer.Exit


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


def assembled(command: str | None = None) -> typer.Typer:
    """The command line, with one command or with all."""
    app = typer.Typer(
        name="milepost",
        help="From a first-mile prompt to measured last-mile specialists, task by task.",
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(root)
    for panel, modules in COMMANDS.items():
        for module, names in modules.items():
            if command is not None and command not in names:
                continue
            groups, commands = len(app.registered_groups), len(app.registered_commands)
            import_module(f"milepost.cli.{module}").register(app)
            for added in (*app.registered_groups[groups:], *app.registered_commands[commands:]):
                added.rich_help_panel = panel
    return app


def command_in(arguments: list[str]) -> str | None:
    """The command that arguments begin with, after a workspace; ``None`` where none is known."""
    rest = iter(arguments)
    for each in rest:
        if each in {"-w", "--workspace"}:
            next(rest, None)
        elif not each.startswith(("-w", "--workspace=")):
            known = any(each in names for of in COMMANDS.values() for names in of.values())
            return each if known else None
    return None


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; without a command it shows the help."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # Half a character in somebody's file is shown as \\udc80, not as a traceback.
            stream.reconfigure(errors="backslashreplace")
    try:
        app = assembled(command_in(arguments))
        code = app(args=arguments or ["--help"], prog_name="milepost", standalone_mode=False)
    except MilepostError as error:
        complain(error)
        return error.exit_code
    except TyperException as error:
        complain(_misused(error))
        return InputError.exit_code
    if code == INTERRUPTED:
        sys.stderr.write(f"\n{_interrupted(arguments)}\n")
    return code if isinstance(code, int) else 0


def _interrupted(arguments: list[str]) -> str:
    said = "Interrupted. What was finished is kept; run the command again to go on"
    if command_in(arguments) == "improve" and "--together" not in arguments:
        return f"{said}, or with `--budget 1s` to conclude with what is done."
    return f"{said}."


def _misused(error: TyperException) -> InputError:
    """A wrong option or argument as one paragraph, like every other mistake."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "milepost"
    message = error.format_message().strip()
    end = "" if message.endswith((".", "?")) else "."
    return InputError(f"{message}{end}", advice=f"See `{command} -h`.")
