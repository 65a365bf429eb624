"""Interrupted or killed in the middle, a workspace stays whole and goes on."""

import os
import signal
import time

import pytest

import milepost as mp


@pytest.fixture
def busy(milepost, fresh):
    """A workspace whose next improvement encodes for long enough to be interrupted."""
    lines = [f"row {i} of {q}, words of its own: {' '.join(str(i * 7 + k) for k in range(12))}\t{q}"
             for i in range(300) for q in ("a", "b")]  # fmt: skip
    (milepost.folder / "many.tsv").write_text("\n".join(["text\tlabel", *lines]))
    milepost.ok("-w", fresh, "add", "many", "many.tsv")
    return fresh


def snapshots(workspace):
    return {path for path in (workspace / ".milepost/artifacts").rglob("*") if path.is_file()}


def in_the_middle(process, workspace):
    """Wait until the data is recorded, which is when the encoder starts on it."""
    until = time.monotonic() + 120
    while len(snapshots(workspace)) < 1:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until
        os.sched_yield()
    return process


@pytest.mark.parametrize(
    "how", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.exhaustive)]
)
def test_the_next_improvement_just_works(milepost, busy, how):
    process = in_the_middle(milepost.start("-w", busy, "improve", "many"), busy)
    process.send_signal(how)
    out, err = process.communicate()
    assert process.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL)
    assert out == ""
    if how == signal.SIGINT:
        said = "Interrupted. What was finished is kept; run the command again to go on, or with "
        # A slow machine has told before what it does.
        last = err.strip().splitlines()[-1]
        assert last == said + "`--budget 1s` to conclude with what is done."
    ws = mp.Workspace.open(busy)
    assert ws.releases("many") == []
    with pytest.raises(mp.MilepostError, match="no contest yet"):
        ws.contest("many")
    milepost.ok("-w", busy, "improve", "route", "--strategy", "head_closed_form")
    assert milepost("-w", busy, "improve", "many", "--strategy", "majority").code in (0, 1)
    assert ws.contest("many").candidates
    drafts = [
        p for p in busy.rglob("*") if p.is_file() and (p.suffix == ".tmp" or "draft" in p.name)
    ]
    assert how == signal.SIGKILL or drafts == []
