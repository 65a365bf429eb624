"""Two processes at once, a paused one, progress in another terminal, cancelling."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from milepost._base.settings import Settings

COMMAND = Path(sys.executable).with_name("milepost")


@pytest.fixture
def command(tmp_path):
    """The installed command in the desk's environment."""

    def run(desk, *arguments):
        done = subprocess.run(
            [COMMAND, "-w", desk.root, *arguments],
            env={**desk.environment, "MILEPOST_ACTOR": "bob"},
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def paused(make_desk):
    """A desk with a process that stands still before it judges; short leases where asked for."""
    started = []

    def begin(lease_seconds=30.0, **configuration):
        settings = Settings(lease_seconds=lease_seconds)
        desk = make_desk("desk", settings=settings, **configuration)
        process = desk.start(judging="SIGSTOP")
        started.append(process)
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        return desk, process

    yield begin
    for process in started:
        if process.returncode is None:
            process.kill()
            process.send_signal(signal.SIGCONT)
            process.communicate()


def go_on(process):
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate()
    return process.returncode, out, err


def test_a_second_process_is_refused_at_once_and_the_first_goes_on(paused, command):
    desk, first = paused()
    (job,) = desk.workspace.jobs()
    code, out, err = desk.run()
    assert (code, out) == (2, "")
    assert f"process {first.pid} on " in err
    assert f"milepost jobs cancel {job.id}" in err
    assert err.count("\n") == 1
    code, out, err = go_on(first)
    assert code == 0, err
    assert desk.workspace.contest("things").id == json.loads(out)["contest"]
    assert len(desk.workspace.releases("things")) == 1


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def test_a_process_that_was_paused_and_lost_its_lease_writes_nothing(request, paused, kind):
    given = {}
    if kind == "postgresql":
        given = {"ledger": request.getfixturevalue("postgres_url")}
    desk, first = paused(lease_seconds=1.0, **given)
    until = time.monotonic() + 60
    code, out, err = desk.run()
    while code == 2 and time.monotonic() < until:
        # Stopped inside a write of its own, it holds the ledger until the server cuts it off.
        assert "has been at this" in err or "holds the ledger locked" in err
        code, out, err = desk.run()
    assert code == 0, err
    ledger = desk.context.ledger
    entries = len(ledger.audit())
    contest = desk.workspace.contest("things")
    code, out, err = go_on(first)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    assert "nothing since" in err
    assert len(ledger.contests("things")) == 1
    assert ledger.contest(contest.id) == contest
    assert len(ledger.audit()) == entries
    assert [job.status for job in ledger.jobs(("running", "done", "interrupted"))] == ["done"]
    assert len(desk.fits) == 6  # the second process took over what the first had done


def test_progress_is_seen_from_another_terminal_and_a_job_can_be_cancelled(paused, command):
    desk, first = paused()
    code, out, err = command(desk, "jobs", "--json")
    assert code == 0, err
    (job,) = json.loads(out)["jobs"]
    assert (job["status"], job["kind"], job["subject"]) == ("running", "improve", "things")
    assert job["holder"].startswith(f"process {first.pid} on ")
    assert job["steps"] == 5
    assert job["doing"]
    assert 0 < job["share"] < 1
    code, out, err = command(desk, "jobs")
    assert code == 0, err
    assert "running" in out
    assert max(len(line) for line in out.splitlines()) <= 80
    assert f"process {first.pid}" in out.replace("\n", " ")
    code, out, err = command(desk, "jobs", "cancel", job["id"], "--reason", "too slow")
    assert (code, out) == (0, f"improve things: job {job['id']} is cancelled.\n"), err
    code, out, err = go_on(first)
    assert (code, out) == (2, "")
    assert "cancelled by bob: too slow" in err
    assert command(desk, "jobs")[1] == "Nothing runs, and nothing waits to go on.\n"
    assert "cancelled" in command(desk, "jobs", "--all")[1]
    code, out, err = command(desk, "jobs", "cancel", job["id"])
    assert (code, out) == (2, "")
    assert "cancelled already" in err
    code, _, err = desk.run()
    assert code == 0, err
    assert desk.workspace.contest("things").id != f"c{job['id'][1:]}"
    assert len(desk.fits) == 12  # it began anew


def test_watching_ends_when_nothing_runs(paused, command):
    desk, first = paused()
    watching = subprocess.Popen(
        [COMMAND, "-w", desk.root, "jobs", "--watch"],
        env=dict(desk.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    first.kill()
    first.send_signal(signal.SIGCONT)
    first.communicate()
    out, err = watching.communicate()
    assert watching.returncode == 0, err
    assert "interrupted" in out
    code, out, err = command(desk, "jobs", "--watch", "--json")
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
