"""Jobs of any kind: steps that are never repeated, whoever works on them."""

from dataclasses import replace

import pytest

from milepost.entities.errors import (
    CorruptError,
    HeldError,
    InputError,
    LostError,
    StorageError,
    UnreachableError,
)
from milepost.entities.ids import Digest
from milepost.entities.job import Plan
from milepost.storage.files.artifacts import MemoryArtifacts
from milepost.workflows.upkeep import jobs
from milepost.workflows.upkeep.jobs import Kept, working

PLAN = Plan(kind="count", subject="sheep", key=Digest("0" * 64))


@pytest.fixture
def quiet(context):
    return replace(context, artifacts=MemoryArtifacts())


class Counted:
    """A step that says how often it was done."""

    def __init__(self, context, value=b"sheep"):
        self.context, self.value, self.times = context, value, 0

    def do(self, work, name="one"):
        return work.once(name, self.compute, self.save, self.load)

    def compute(self):
        self.times += 1
        return self.value

    def save(self, value):
        digest = self.context.artifacts.put(value)
        return Kept({"at": digest}, (digest,))

    def load(self, step):
        return self.context.artifacts.get(step.result["at"])


def work_on(context, *acts):
    with working(context, PLAN) as work:
        for act in acts:
            act(work)


def ending(error):
    def end(work):
        raise error

    return end


def interrupted(context, step):
    with pytest.raises(KeyboardInterrupt):
        work_on(context, step.do, ending(KeyboardInterrupt()))


def test_a_finished_step_is_never_repeated(quiet):
    step = Counted(quiet)
    for _ in range(3):
        interrupted(quiet, step)
    (job,) = jobs.jobs(quiet)
    assert (job.status, job.attempts, job.steps) == ("interrupted", 3, 1)
    with working(quiet, PLAN) as work:
        assert work.finished == ("one",)
        assert work.spent > 0
        assert step.do(work) == b"sheep"
    assert step.times == 1
    assert jobs.jobs(quiet) == ()
    with working(quiet, PLAN) as work:  # done is done: the same work again is new work
        assert work.finished == ()


def test_what_is_not_worth_keeping_is_done_again(quiet):
    step = Counted(quiet)
    step.save = lambda value: None
    interrupted(quiet, step)
    interrupted(quiet, step)
    assert step.times == 2


def test_bytes_that_are_gone_cost_the_step_and_a_store_that_is_away_does_not(quiet):
    step = Counted(quiet)
    interrupted(quiet, step)
    step.load = ending(StorageError("the store is away."))
    with pytest.raises(StorageError, match="away"):
        work_on(quiet, step.do)
    assert step.times == 1
    (job,) = jobs.jobs(quiet)
    assert (job.status, job.error) == ("failed", "the store is away.")
    empty = replace(quiet, artifacts=MemoryArtifacts())
    again = Counted(empty)
    with working(empty, PLAN) as work:
        assert again.do(work) == b"sheep"
    assert again.times == 1


def test_a_kept_result_that_is_damaged_is_made_again(quiet):
    step = Counted(quiet)
    interrupted(quiet, step)
    step.load = ending(CorruptError("not what it was."))
    with working(quiet, PLAN) as work:
        assert step.do(work) == b"sheep"
    assert step.times == 2


def test_what_is_refused_at_once_leaves_nothing_to_go_on_with(quiet):
    with pytest.raises(InputError):
        work_on(quiet, ending(InputError("there is no such metric.")))
    assert jobs.jobs(quiet) == ()
    (job,) = jobs.jobs(quiet, ended=True)
    assert (job.status, job.error) == ("cancelled", "refused: there is no such metric")
    step = Counted(quiet)
    with pytest.raises(InputError):
        work_on(quiet, step.do, ending(InputError("the disk is odd.")))
    assert jobs.jobs(quiet)[0].status == "failed"
    with working(quiet, PLAN) as work:
        step.do(work)
    assert step.times == 1


def test_an_error_is_kept_with_the_job_and_the_next_process_goes_on(quiet):
    step = Counted(quiet)
    with pytest.raises(RuntimeError):
        work_on(quiet, step.do, ending(RuntimeError("out of luck")))
    (job,) = jobs.jobs(quiet)
    assert (job.status, job.error) == ("failed", "out of luck")
    with working(quiet, PLAN) as work:
        step.do(work)
    assert step.times == 1


def test_the_same_process_cannot_work_on_it_twice_at_once(quiet):
    with working(quiet, PLAN):
        with pytest.raises(HeldError), working(quiet, PLAN):
            pass
        other = Plan(kind="count", subject="goats", key=PLAN.key)
        with working(quiet, other):
            assert len(jobs.jobs(quiet)) == 2


def test_a_cancelled_job_stops_even_inside_what_catches_every_exception(quiet):
    boss = replace(quiet, actor="boss")

    def swallowed(work):
        jobs.cancel(boss, work.job.id, "enough")
        while True:  # until a sign of life is refused
            try:
                work.tell("counting", 0.5)
            except Exception:  # noqa: BLE001 - as strategies are guarded
                pytest.fail("an ordinary exception would be a failed strategy")

    with pytest.raises(LostError, match="cancelled by boss: enough") as stopped:
        work_on(quiet, swallowed)
    assert stopped.value.where == "count sheep"
    assert jobs.jobs(quiet, ended=True)[0].status == "cancelled"


def test_a_step_of_a_cancelled_job_is_not_recorded(quiet):
    step = Counted(quiet)
    with pytest.raises(LostError, match="cancelled"):
        work_on(quiet, lambda work: jobs.cancel(quiet, work.job.id, "enough"), step.do)
    (job,) = jobs.jobs(quiet, ended=True)
    assert (job.status, job.steps) == ("cancelled", 0)


def test_progress_is_seen_while_it_goes_on(quiet):
    heard = []
    telling = replace(quiet, on_event=lambda *event: heard.append(event))
    with working(telling, PLAN) as work:
        work.tell("counting", 0.5)
        while jobs.jobs(quiet)[0].doing != "counting":
            pass
        (job,) = jobs.jobs(quiet)
        assert (job.status, job.share) == ("running", 0.5)
        assert job.holder.startswith("process ")
    assert heard == [("sheep", "counting", 0.5)]


def test_a_database_that_is_away_is_asked_again_until_patience_ends(quiet, monkeypatch):
    answers = iter([UnreachableError("away."), UnreachableError("away."), "there"])

    def write():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with working(quiet, PLAN) as work:
        assert work.reach(write) == "there"
    monkeypatch.setattr(jobs, "RECONNECT_SECONDS", 0.0)
    answers = iter([UnreachableError("away.")])
    with pytest.raises(UnreachableError, match="goes on after the last of the 0 finished steps"):
        work_on(quiet, lambda work: work.reach(write))
