"""One suite for jobs over SQLite and PostgreSQL."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from milepost._base.digest import digest_of
from milepost._base.process import identity
from milepost.entities.errors import (
    ConflictError,
    HeldError,
    InputError,
    LostError,
    UnknownNameError,
)
from milepost.entities.ids import Digest
from milepost.entities.job import UNFINISHED, Plan, Step
from milepost.storage import tables
from milepost.storage.ledger import Ledger

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SECONDS = 30.0
EVERY = (*UNFINISHED, "done", "cancelled", "superseded")


class Stopped:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return request.getfixturevalue("postgres_url")
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture
def clock() -> Stopped:
    return Stopped()


@pytest.fixture
def ledger(url: str, clock: Stopped) -> Iterator[Ledger]:
    with Ledger.open(url, clock=clock) as opened:
        yield opened


def digest(seed: object) -> Digest:
    return Digest(digest_of(seed))


def plan(key: str = "a", subject: str = "route") -> Plan:
    return Plan(kind="improve", subject=subject, key=digest(key), arguments={"seed": 0})


def step(name: str, *artifacts: Digest) -> Step:
    result: dict[str, object] = {"n": 1, "text": "ä", "none": None}
    return Step(name=name, result=result, artifacts=artifacts, seconds=0.5, finished=NOW)


def pins(ledger: Ledger) -> set[tuple[str, str]]:
    with ledger.database.read() as connection:
        rows = connection.execute(sa.select(tables.pins.c.owner, tables.pins.c.digest))
        return {(row.owner, row.digest) for row in rows}


def test_a_job_from_its_beginning_to_its_end(ledger, clock):
    job, lease, steps, superseded = ledger.begin_job(plan(), identity(), SECONDS, "ann")
    assert (job.status, job.attempts, job.steps, steps, superseded) == ("running", 1, 0, (), ())
    assert job.id.startswith("j")
    assert len(job.id) == 13
    assert job.arguments == {"seed": 0}
    ledger.finish_step(job.id, lease, step("data", digest("x"), digest("y"), digest("x")))
    ledger.finish_step(job.id, lease, step("fit", digest("y")))
    clock.now += timedelta(seconds=10)
    lease = ledger.beat(job.id, lease, SECONDS, "judging", 0.8)
    assert lease.expires == NOW + timedelta(seconds=10 + SECONDS)
    (seen,) = ledger.jobs()
    assert (seen.doing, seen.share, seen.steps, seen.actor) == ("judging", 0.8, 2, "ann")
    assert seen.updated == clock.now
    assert [s.name for s in ledger.job_steps(job.id)] == ["data", "fit"]
    assert ledger.job_steps(job.id)[0].result == {"n": 1, "text": "ä", "none": None}
    assert pins(ledger) == {(f"job:{job.id}", digest("x")), (f"job:{job.id}", digest("y"))}
    ledger.end_job(job.id, lease, "done")
    assert ledger.jobs() == ()
    assert ledger.job(job.id).status == "done"
    assert ledger.job(job.id).share == 1.0
    assert pins(ledger) == set()
    assert ledger.lease("improve route") is None


def test_the_same_work_goes_on_and_other_work_takes_its_place(ledger):
    first, lease, _, _ = ledger.begin_job(plan(), identity(), SECONDS)
    ledger.finish_step(first.id, lease, step("data", digest("x")))
    ledger.end_job(first.id, lease, "interrupted")
    assert pins(ledger)
    assert first.actors == ("default",)
    again, lease, steps, superseded = ledger.begin_job(plan(), identity(), SECONDS, "ann")
    assert (again.id, again.attempts, superseded) == (first.id, 2, ())
    assert (again.actor, again.actors) == ("default", ("default", "ann"))
    assert again.arguments == plan().arguments
    progress = ("fitting", 0.5)
    ledger.finish_step(again.id, lease, step("more", digest("y")), progress)
    assert (ledger.job(first.id).doing, ledger.job(first.id).share) == progress
    assert [s.name for s in steps] == ["data"]
    ledger.end_job(again.id, lease, "failed", "the disk is full.")
    assert ledger.job(first.id).error == "the disk is full."
    elsewhere, _, _, _ = ledger.begin_job(plan(subject="urgency"), identity(), SECONDS)
    other, lease, steps, superseded = ledger.begin_job(plan("b"), identity(), SECONDS)
    assert other.id != first.id
    assert (steps, superseded) == ((), (first.id,))
    assert ledger.job(first.id).status == "superseded"
    assert ledger.job(elsewhere.id).status == "running"
    assert pins(ledger) == set()
    ledger.end_job(other.id, lease, "done")
    anew, _, _, _ = ledger.begin_job(plan("b"), identity(), SECONDS)
    assert anew.id not in {first.id, other.id}
    assert [job.status for job in ledger.jobs(EVERY)] == [
        "running",
        "done",
        "running",
        "superseded",
    ]
    assert len(ledger.jobs(EVERY, limit=2)) == 2


def test_the_second_process_is_told_which_job_is_in_its_way(ledger):
    job, _, _, _ = ledger.begin_job(plan(), "the first one", SECONDS)
    with pytest.raises(HeldError, match=f"jobs cancel {job.id}"):
        ledger.begin_job(plan("b"), identity(), SECONDS)
    assert [job.status for job in ledger.jobs(EVERY)] == ["running"]


def test_a_job_whose_process_is_silent_shows_as_interrupted(ledger, clock):
    job, lease, _, _ = ledger.begin_job(plan(), "elsewhere", SECONDS)
    assert ledger.job(job.id).holder == "elsewhere"
    clock.now += timedelta(seconds=SECONDS)
    seen = ledger.job(job.id)
    assert (seen.status, seen.holder) == ("interrupted", None)
    # It was only slow: what it says next counts, because nobody took its place.
    ledger.beat(job.id, lease, SECONDS, "still here", 0.1)
    assert ledger.job(job.id).status == "running"


def test_whoever_lost_the_lease_writes_nothing_more(ledger, clock):
    job, lost, _, _ = ledger.begin_job(plan(), "elsewhere", SECONDS)
    clock.now += timedelta(seconds=SECONDS)
    again, lease, _, _ = ledger.begin_job(plan(), identity(), SECONDS)
    assert again.id == job.id
    for write in (
        lambda: ledger.finish_step(job.id, lost, step("late", digest("x"))),
        lambda: ledger.beat(job.id, lost, SECONDS, "late", 0.5),
        lambda: ledger.end_job(job.id, lost, "done"),
    ):
        with pytest.raises(LostError) as refused:
            write()
        assert isinstance(refused.value, ConflictError)
    assert ledger.job_steps(job.id) == ()
    assert pins(ledger) == set()
    assert ledger.job(job.id).status == "running"
    ledger.finish_step(job.id, lease, step("in time"))


def test_a_step_may_be_recorded_again_when_the_answer_was_lost(ledger):
    job, lease, _, _ = ledger.begin_job(plan(), identity(), SECONDS)
    for _ in range(2):
        ledger.finish_step(job.id, lease, step("data", digest("x")))
    assert [s.name for s in ledger.job_steps(job.id)] == ["data"]
    assert len(pins(ledger)) == 1


def test_a_cancelled_job_is_over_and_its_process_can_write_nothing(ledger):
    job, lease, _, _ = ledger.begin_job(plan(), identity(), SECONDS)
    ledger.finish_step(job.id, lease, step("data", digest("x")))
    cancelled = ledger.cancel_job(job.id, "too slow", "bob")
    assert cancelled.status == "cancelled"
    assert cancelled.error == "cancelled by bob: too slow"
    assert pins(ledger) == set()
    entry = ledger.audit()[0]
    assert (entry.action, entry.subject, entry.reason) == (
        "job.cancelled",
        "improve route",
        "too slow",
    )
    with pytest.raises(LostError):
        ledger.finish_step(job.id, lease, step("late"))
    with pytest.raises(LostError):
        ledger.end_job(job.id, lease, "done")
    with pytest.raises(InputError, match="cancelled already"):
        ledger.cancel_job(job.id, "again", "bob")
    assert ledger.begin_job(plan(), identity(), SECONDS)[0].id != job.id
    with pytest.raises(UnknownNameError):
        ledger.cancel_job("j000000000000", "x", "bob")


def test_jobs_of_another_tenant_are_not_seen(ledger, url):
    job, _, _, _ = ledger.begin_job(plan(), identity(), SECONDS)
    with Ledger.open(url, tenant="other") as other:
        assert other.jobs(EVERY) == ()
        with pytest.raises(UnknownNameError):
            other.job(job.id)
        assert other.begin_job(plan(), identity(), SECONDS)[0].id != job.id
