"""A second person approves what the first one made, with the installed command line."""

from dataclasses import replace

import pytest

import milepost as mp
from milepost.entities.task import ReleaseRule


@pytest.fixture
def two(milepost, environment):
    """The command line of the maker, and that of somebody else."""
    return milepost, replace(milepost, environment={**environment, "MILEPOST_ACTOR": "reviewer"})


@pytest.fixture
def waiting(two, tickets, tmp_path):
    """A workspace whose first release waits for one approval."""
    maker, _ = two
    source = ("--from", tickets / "tickets.csv", "--task", "route", "--at-least", "0.1")
    maker.ok("init", "desk", *source)
    path = tmp_path / "desk" / "tasks" / "route.yaml"
    path.write_text(path.read_text() + "release: {approvals: 1}\n")
    return tmp_path / "desk"


@pytest.mark.slow
def test_a_release_waits_until_somebody_else_approves_it(two, waiting):
    maker, reviewer = two
    made = maker.ok("-w", waiting, "improve", "route", "--strategy", "tfidf_linear")
    assert "! release 1 waits for 1 approval: milepost approve route 1" in made.out
    shown = maker.ok("-w", waiting, "candidates", "route", "--json").json["tasks"][0]
    assert (shown["release"], shown["waits_for_approvals"]) == (1, 1)

    for refused in (["promote", "route", "1"], ["approve", "route", "1", "--reason", "mine"]):
        done = maker("-w", waiting, *refused)
        assert done.code == 2
        assert "milepost approve route 1" in done.err
    assert "waits for approval" in maker("-w", waiting, "predict", "route", "hello").err
    maker.ok("-w", waiting, "predict", "route", "hello", "--release", 1)
    listed = maker.ok("-w", waiting, "releases", "route", "--json").json
    assert listed["production"] is None
    assert (listed["approvals"][0]["needed"], listed["approvals"][0]["approvals"]) == (1, [])

    approve = (
        "-w",
        waiting,
        "approve",
        "route",
        1,
        "--reason",
        "read it",
        "--idempotency-key",
        "a",
    )
    first = reviewer.ok(*approve)
    assert "route@production is now release 1" in first.out
    assert reviewer.ok(*approve).out == first.out
    assert "reviewer" in maker.ok("-w", waiting, "releases", "route").out
    maker.ok("-w", waiting, "predict", "route", "hello")
    assert "not in production" not in maker.ok("-w", waiting, "candidates", "route").out


def test_the_python_api_asks_for_approvals_too(waiting, monkeypatch):
    ws = mp.Workspace.open(waiting)
    assert ws.task("route").release == ReleaseRule(approvals=1)
    made = ws.improve("route", strategies=["tfidf_linear"]).contest
    assert made.waits_for == 1
    with pytest.raises(mp.MilepostError, match="lacks the approval"):
        ws.promote("route", 1)
    monkeypatch.setenv("MILEPOST_ACTOR", "reviewer")
    came = mp.Workspace.open(waiting).approve("route", 1, reason="fine")
    assert came.outcome == "live"
    channel = ws.channel("route")
    assert channel is not None
    assert channel.release == 1


def test_the_same_key_moves_once(milepost, improved):
    def run(*arguments):
        return milepost.ok("-w", improved, *arguments, "--idempotency-key", "k-1")

    ws = mp.Workspace.open(improved)
    first = run("rollback", "route", "--reason", "complaints")
    before = ws.channel("route")
    assert run("rollback", "route", "--reason", "complaints").out == first.out
    assert ws.channel("route") == before
    refused = milepost("-w", improved, "rollback", "route", "--idempotency-key", "k-1")
    assert refused.code == 2
    assert "used for another request" in refused.err


def test_a_change_of_the_settings_is_in_the_log_and_reading_writes_nothing(milepost, improved):
    ws = mp.Workspace.open(improved)
    path = improved / "milepost.toml"
    path.write_text(path.read_text().replace("# folds = 5", "folds = 7"))
    for command in (["releases", "route"], ["tasks"], ["predict", "route", "hello"]):
        milepost.ok("-w", improved, *command)
    log = ws._context.ledger.audit
    before = len(log(action="setting.changed"))
    milepost.ok("-w", improved, "promote", "route", "1")
    milepost.ok("-w", improved, "promote", "route", "2")
    entries = log(action="setting.changed")
    assert len(entries) == before + 1
    assert entries[0].details["settings"] == {"folds": {"from": 5, "to": 7}}
