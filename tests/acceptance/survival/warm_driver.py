"""A process that has everything imported and forks a child for each command, which may be killed.

Reads one JSON line per child: {"does": …, "out": FILE, …}; writes the child's pid, and when asked
to wait for it, its exit code (negative for a signal). What a child says goes to the file ``out``.
"""

import json
import os
import sys
import time
import traceback
from pathlib import Path

import alembic.command
import alembic.config
import psycopg
import sklearn.feature_extraction.text
import sklearn.linear_model
import sqlalchemy.dialects.postgresql.psycopg

import milepost as mp
import milepost.workflows.upkeep.backup
import milepost.workflows.upkeep.restore
import milepost.workspace
from milepost.cli.app import run
from milepost.entities.errors import ConflictError, StorageError
from milepost.storage.ledger import Ledger

WARM = (alembic.command, alembic.config, psycopg, sklearn, sqlalchemy, milepost.workspace)


def say(text):
    os.write(1, f"{text}\n".encode())


def command(arguments):
    """A command line, as a user types it."""
    return run(arguments)


def moves(workspace):
    """Promote to and fro without end; each move is said after it was acknowledged."""
    ws = mp.Workspace.open(workspace)
    while True:
        now = ws.channel("route").release
        moved = ws.promote("route", 3 - now, reason="to and fro")
        say(f"{moved.version} {moved.release}")


def opening(url, go):
    """Open a ledger at the moment at which all do."""
    while not Path(go).exists():
        time.sleep(0.0005)
    return upgrade(url)


def upgrade(url):
    """Open a ledger, which brings its tables up to date."""
    with Ledger.open(url) as ledger:
        say(len(ledger.tasks()))
    return 0


def keyed_moves(url, writer, stop):
    """Move a channel of its own again and again, and try each move until it is acknowledged.

    A move whose acknowledgement was lost is tried again under the same key.
    """
    ledger = Ledger.open(url, timeout=5.0)
    name, number = f"writer-{writer}", 0
    while not Path(stop).exists():
        number += 1
        while True:
            try:
                ledger.move_channel(
                    "route",
                    name,
                    1 + number % 2,
                    expected_version=number - 1,
                    reason=f"{name} {number}",
                    actor=name,
                    idempotency_key=f"{name}-{number}",
                )
                break
            except ConflictError:
                raise
            except StorageError as error:
                say(f"again {number}: {error}")
                time.sleep(0.02)
        say(f"done {number}")
    ledger.close()
    return 0


DOES = {each.__name__: each for each in (command, moves, opening, upgrade, keyed_moves)}


def child(job):
    out = os.open(job.pop("out"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(out, 1)
    os.dup2(out, 2)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False)
    code = 99
    try:
        code = DOES[job.pop("does")](**job)
    except BaseException:  # noqa: BLE001 - the test reads it
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main():
    for line in sys.stdin:
        job = json.loads(line)
        if "wait" in job:
            answer = os.waitstatus_to_exitcode(os.waitpid(job["wait"], 0)[1])
        else:
            answer = os.fork()
            if answer == 0:
                child(job)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


main()
