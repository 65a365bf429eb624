import subprocess
import sys
from importlib import import_module
from pkgutil import iter_modules

import pytest
import typer

import milepost.cli
from milepost.cli import app
from milepost.cli.app import COMMANDS, assembled, command_in


def offered(app):
    """Names of the commands and groups of an app."""
    return [each.name for each in (*app.registered_commands, *app.registered_groups)]


def test_each_module_registers_the_commands_that_are_said_to_be_its_own():
    said = {module: names for of in COMMANDS.values() for module, names in of.items()}
    found = {}
    for each in iter_modules(milepost.cli.__path__):
        module = import_module(f"milepost.cli.{each.name}")
        if hasattr(module, "register"):
            app = typer.Typer()
            module.register(app)
            found[each.name] = sorted(offered(app))
    assert found == {module: sorted(names) for module, names in said.items()}


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("tasks", "tasks"),
        ("-w improve tasks --json", "tasks"),
        ("--workspace improve tasks", "tasks"),
        ("-wimprove tasks", "tasks"),
        ("--workspace=improve tasks", "tasks"),
        ("jobs cancel j1", "jobs"),
        ("-h tasks", None),
        ("--version", None),
        ("imrpove tasks", None),
        ("-w", None),
        ("", None),
    ],
)
def test_the_command_that_a_line_begins_with(line, command):
    assert command_in(line.split()) == command


def test_one_command_alone_is_found_in_the_same_panel():
    whole = {each.name: each.rich_help_panel for each in assembled().registered_commands}
    alone = assembled("predict")
    assert "predict" in offered(alone)
    assert "tasks" not in offered(alone)
    assert all(whole[each.name] == each.rich_help_panel for each in alone.registered_commands)


def test_a_command_loads_no_other_command():
    code = (
        "import sys; from milepost.cli.app import assembled; assembled('tasks'); "
        "print(*(name for name in sys.modules if name.startswith('milepost.cli.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {
        "milepost.cli.app",
        "milepost.cli.data",
        "milepost.cli.shared",
    }


@pytest.mark.parametrize(
    ("line", "advised"),
    [
        ("improve route --budget 15m", True),
        ("-w desk improve", True),
        ("improve --together", False),  # it has nothing to conclude before it is tuned
        ("migrate --encoder x", False),
    ],
)
def test_an_interrupted_contest_can_be_concluded_with_what_is_done(
    line, advised, capsys, monkeypatch
):
    monkeypatch.setattr(app, "assembled", lambda command: lambda **given: app.INTERRUPTED)
    assert app.run(line.split()) == 130
    said = capsys.readouterr().err
    assert said.startswith(
        "\nInterrupted. What was finished is kept; run the command again to go on"
    )
    assert ("--budget 1s" in said) == advised
