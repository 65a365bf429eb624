"""A contest whose process is ended at any moment goes on, and repeats nothing."""

import json
import signal

import pytest

FOLDS = 5
MOMENTS = (
    "reading data",
    "majority",
    "tfidf_linear",
    "head_closed_form",
    "counted",
    "judging",
    "learning curve",
    "recording",
    "concluded",
)
"""Where a process may be ended: at each boundary of two steps."""


def quality(contest):
    """All of a contest that does not depend on how fast the machine was, or on its id."""
    rows = []
    for row in contest.candidates:
        card = row.scorecard
        metrics = None if card is None else (card.metrics, card.labels, card.slices, card.notes)
        rows.append((row.strategy, row.chosen, row.error, row.parameters, row.selection,
                     row.predictions, row.bundle, metrics, row.against))  # fmt: skip
    return sorted(rows, key=lambda row: row[0]), contest.curve, contest.decision


@pytest.fixture
def ledger_of(request):
    """The address of a ledger by the name of its database."""

    def address(kind):
        if kind == "postgresql":
            return {"ledger": request.getfixturevalue("postgres_url")}
        return {}

    return address


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("sqlite", "SIGKILL"),
        pytest.param("sqlite", "SIGINT", marks=pytest.mark.exhaustive),
        pytest.param("postgresql", "SIGKILL", marks=pytest.mark.slow),
    ],
)
def test_ended_at_every_boundary_nothing_is_repeated_and_the_result_is_the_same(
    make_desk, ledger_of, kind, how
):
    whole = make_desk("whole")
    code, out, err = whole.run()
    assert code == 0, err
    assert [m for m in json.loads(out)["moments"] if m in MOMENTS] == list(MOMENTS)
    expected = whole.workspace.contest("things")

    desk = make_desk("desk", **ledger_of(kind))
    workspace = desk.workspace
    for moment in MOMENTS:
        code, out, err = desk.run(**{moment: how})
        assert code == -getattr(signal, how), err
        assert out == ""
        (job,) = workspace.jobs()
        assert job.status == "interrupted"
        if moment != "concluded":
            with pytest.raises(Exception, match="no contest yet"):
                workspace.contest("things")
            assert workspace.releases("things") == []
    code, out, err = desk.run()
    assert code == 0, err

    contest = workspace.contest("things")
    assert json.loads(out)["contest"] == contest.id
    assert quality(contest) == quality(expected)
    assert contest.release == 1
    assert len(workspace.releases("things")) == 1
    assert desk.fits == whole.fits
    assert len(desk.fits) == FOLDS + 1
    assert len(desk.context.ledger.looks("things")) == 1
    drafts = [path for path in (desk.root / ".milepost").rglob("*") if path.suffix == ".tmp"]
    assert how == "SIGKILL" or drafts == []
    assert workspace.jobs() == []
    (job,) = workspace.jobs(ended=True)
    assert (job.status, job.attempts) == ("done", len(MOMENTS) + 1)


def test_other_data_begins_anew_and_says_so(make_desk):
    desk = make_desk("desk")
    assert desk.run(judging="SIGKILL")[0] == -signal.SIGKILL
    (old,) = desk.workspace.jobs()
    with (desk.root / "data" / "things.csv").open("a") as file:
        file.write("new,a hammer and a saw of kilo,tool\n")
    code, out, err = desk.run()
    assert code == 0, err
    assert json.loads(out)["contest"] != f"c{old.id[1:]}"
    assert max(desk.fits) == 21
    jobs = desk.workspace.jobs(ended=True)
    assert [(job.id == old.id, job.status) for job in jobs] == [
        (False, "done"),
        (True, "superseded"),
    ]


def test_what_the_budget_left_out_is_tried_again_and_what_was_paid_is_not(make_desk):
    desk = make_desk("desk")
    # The budget is used up at once, and the process ends before it can conclude.
    assert desk.run(budget=1e-9, judging="SIGKILL")[0] == -signal.SIGKILL
    assert desk.fits == []
    assert desk.run(judging="SIGKILL")[0] == -signal.SIGKILL
    assert len(desk.fits) == FOLDS + 1
    code, _, err = desk.run(budget=3600)
    assert code == 0, err
    contest = desk.workspace.contest("things")
    assert [c.error for c in contest.candidates] == [None] * 4
    assert len(desk.fits) == FOLDS + 1
    (job,) = desk.workspace.jobs(ended=True)
    assert job.attempts == 3


def test_a_kept_result_that_went_bad_is_made_again(make_desk):
    desk = make_desk("desk")
    assert desk.run(judging="SIGKILL")[0] == -signal.SIGKILL
    (job,) = desk.workspace.jobs()
    ledger = desk.context.ledger
    (step,) = [s for s in ledger.job_steps(job.id) if s.name == "strategy counted"]
    for digest in step.artifacts:
        path = desk.root / ".milepost/artifacts" / digest[:2] / digest[2:4] / digest
        path.chmod(0o644)
        path.write_bytes(b"not what it was")
    code, _, err = desk.run()
    assert code == 0, err
    assert len(desk.fits) == 2 * (FOLDS + 1)
    assert desk.workspace.contest("things").release == 1


def test_a_full_disk_is_a_clear_error_and_the_next_run_goes_on(make_desk):
    desk = make_desk("desk")
    code, out, err = desk.run(counted="full disk")
    assert (code, out) == (2, "")
    assert "full" in err
    assert "Traceback" not in err
    (job,) = desk.workspace.jobs()
    assert job.status in {"failed", "interrupted"}
    assert job.steps == 4  # the data and three strategies
    fits = len(desk.fits)
    code, _, err = desk.run()
    assert code == 0, err
    assert desk.workspace.contest("things").release == 1
    assert len(desk.fits) == fits + FOLDS + 1  # what could not be stored is made again
