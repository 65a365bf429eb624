from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest

from milepost.entities.ids import Digest, JobId
from milepost.entities.job import Job, JobStatus
from milepost.reports.jobs import MARKS, jobs_table

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def job(**given):
    return Job(
        **{
            "id": JobId("j0123456789ab"),
            "kind": "improve",
            "subject": "route",
            "key": Digest("0" * 64),
            "status": "running",
            "doing": "head_closed_form",
            "share": 0.45,
            "steps": 4,
            "created": NOW - timedelta(seconds=33),
            "updated": NOW,
            "actor": "ann",
            "holder": "process 42 on desk",
            **given,
        }
    )


def test_a_running_job_says_what_it_does_and_who_is_at_it():
    shown = jobs_table([job()], NOW).plain()
    assert "j0123456789ab" in shown
    assert "head_closed_form" in shown
    assert "45 %" in shown
    assert "━━━●" in shown
    assert "by ann for 33 s, process 42 on desk, 4 steps finished." in shown


def test_an_interrupted_job_says_how_it_goes_on():
    shown = jobs_table([job(status="interrupted", holder=None)], NOW).plain()
    assert "`milepost improve route`" in shown


def test_a_failed_job_shows_its_error():
    shown = jobs_table([job(status="failed", error="the disk is full.")], NOW).plain()
    assert "the disk is full." in shown


@pytest.mark.parametrize("status", get_args(JobStatus))
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_every_status_fits_into_80_columns(status, share):
    long = job(status=status, share=share, subject="a-task-with-a-long-name", attempts=3)
    lines = jobs_table([long, job()], NOW).plain().splitlines()
    assert max(map(len, lines)) <= 80
    assert status in MARKS


@pytest.mark.parametrize(
    ("seconds", "words"), [(5, "5 s"), (600, "10 min"), (9000, "2 h"), (400_000, "4 days")]
)
def test_ages_in_their_largest_unit(seconds, words):
    done = job(status="done", updated=NOW - timedelta(seconds=seconds))
    assert f"by ann, {words} ago." in jobs_table([done], NOW).plain()


def test_nothing_to_show_is_a_sentence():
    assert jobs_table([], NOW).plain() == "Nothing runs, and nothing waits to go on."
