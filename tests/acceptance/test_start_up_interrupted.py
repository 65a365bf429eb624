"""Ctrl-C while the command is still loading."""

import subprocess

# Runs before the command does: the first look for a module that the command needs is Ctrl-C.
CUSTOMIZE = """
import os
import signal
import sys


class CtrlC:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)


sys.meta_path.insert(0, CtrlC)
"""


def test_ctrl_c_while_loading_is_one_word_and_no_traceback(milepost, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(CUSTOMIZE.format(name="typer"))
    environment = {**milepost.environment, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [milepost.start.__globals__["COMMAND"], "--help"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "\nInterrupted.\n"


def test_ctrl_c_while_a_command_loads_what_it_needs(milepost, fresh, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(CUSTOMIZE.format(name="milepost.workspace"))
    environment = {**milepost.environment, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [milepost.start.__globals__["COMMAND"], "-w", fresh, "tasks"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().startswith("Interrupted.")
