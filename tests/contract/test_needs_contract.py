"""One suite over SQLite and PostgreSQL for what artifacts the ledger needs."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from milepost._base import process
from milepost._base.digest import digest_of
from milepost.entities.contest import Candidate, Contest
from milepost.entities.decision import Decision
from milepost.entities.errors import InputError, UnknownNameError
from milepost.entities.example import Dataset, QualityReport
from milepost.entities.ids import CandidateId, ContestId, Digest
from milepost.entities.job import Plan, Step
from milepost.entities.task import Task
from milepost.storage.ledger import Ledger

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TASK = Task(name="route", labels={"a": "", "b": ""})


def digest(seed: object) -> Digest:
    return Digest(digest_of(seed))


class Ticking:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return request.getfixturevalue("postgres_url")
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with Ledger.open(url, clock=Ticking()) as opened:
        opened.save_task(TASK, digest(TASK))
        yield opened


def contest(number: int) -> Contest:
    name = ContestId(f"c{number:012d}")
    candidates = tuple(
        Candidate(
            id=CandidateId(f"{name}-{strategy}"),
            strategy=strategy,
            bundle=digest((number, strategy, "bundle")),
            predictions=digest((number, strategy, "predictions")),
            chosen=strategy == "best",
        )
        for strategy in ("best", "other")
    )
    return Contest(
        id=name,
        task="route",
        task_version=digest(TASK),
        examples=digest("examples"),
        holdout=None,
        regime="cross_fitted",
        seed=0,
        budget_seconds=None,
        started=NOW,
        seconds=1.0,
        candidates=(
            *candidates,
            Candidate(id=CandidateId(f"{name}-bad"), strategy="bad", error="x"),
        ),
        decision=Decision(verdict="insufficient_evidence", reasons=("too few",)),
        code="0",
    )


def bundles(*which: tuple[int, str]) -> set[Digest]:
    return {digest((*each, "bundle")) for each in which}


def predictions(*which: tuple[int, str]) -> set[Digest]:
    return {digest((*each, "predictions")) for each in which}


ALL = [(n, strategy) for n in (1, 2, 3) for strategy in ("best", "other")]


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    """Three contests; the best of the first is release 1."""
    ledger.save_dataset(
        Dataset(
            digest=digest("examples"),
            artifact=digest("snapshot"),
            task="route",
            role="examples",
            rows=1,
            sources=(),
            quality=QualityReport(rows=1, used=1, labelled=1, label_counts={}),
        )
    )
    for number in (1, 2, 3):
        ledger.save_contest(contest(number))
    ledger.make_release(f"{contest(1).id}-best", expected_version=0, reason="r")
    return ledger


def test_an_empty_ledger_needs_nothing(ledger: Ledger) -> None:
    assert ledger.needed_artifacts() == (frozenset(),) * 4
    assert ledger.pins() == {}
    assert ledger.every_channel() == ()


def test_rows_need_their_artifacts(filled: Ledger) -> None:
    needs = filled.needed_artifacts()
    assert needs.bundles == bundles(*ALL)
    assert needs.released == bundles((1, "best"))
    assert needs.files == predictions(*ALL) | {digest("snapshot")}
    assert [(c.name, c.release) for c in filled.every_channel()] == [("production", 1)]


def test_another_tenants_rows_count_too(filled: Ledger, url: str) -> None:
    with Ledger.open(url, tenant="other") as other:
        assert other.needed_artifacts() == filled.needed_artifacts()
        other.pin("job:1", [digest("theirs")])
        assert other.give_up(1) == ()
    assert filled.needed_artifacts().pinned == {digest("theirs")}
    assert filled.pins() == {}


def test_old_unreleased_candidates_are_given_up_for_good(filled: Ledger) -> None:
    given_up = ["c000000000001-other", "c000000000002-best", "c000000000002-other"]
    kept = [(1, "best"), (3, "best"), (3, "other")]
    assert list(filled.superseded(1)) == given_up
    would_need = filled.needed_artifacts(keep_contests=1)
    assert filled.needed_artifacts().bundles == bundles(*ALL)
    assert list(filled.give_up(1, actor="me")) == given_up
    assert filled.give_up(1) == ()
    needs = filled.needed_artifacts()
    assert needs == would_need
    assert needs.bundles == bundles(*kept)
    assert needs.files == predictions(*kept) | {digest("snapshot")}
    when = filled.given_up(given_up[0])
    assert when is not None
    assert when.tzinfo is UTC
    assert filled.given_up("c000000000001-best") is None
    entry = filled.audit(1)[0]
    assert (entry.action, entry.actor) == ("candidates.given-up", "me")
    assert entry.details == {"candidates": given_up, "keep_contests": 1}
    with pytest.raises(InputError, match="collected"):
        filled.make_release(given_up[0], expected_version=1, reason="r")
    with pytest.raises(UnknownNameError):
        filled.given_up("nothing")


@pytest.mark.parametrize(("keep", "given_up"), [(1, 3), (2, 1), (3, 0), (100, 0)])
def test_the_newest_contests_are_kept(filled: Ledger, keep: int, given_up: int) -> None:
    assert len(filled.give_up(keep)) == given_up


def test_pins_hold_until_they_are_let_go(ledger: Ledger) -> None:
    one, two = digest(1), digest(2)
    ledger.pin("backup:1", [one, two, one])
    ledger.pin("backup:1", [two])
    ledger.pin("job:1", [one])
    assert ledger.pins() == {"backup:1": tuple(sorted([one, two])), "job:1": (one,)}
    assert ledger.needed_artifacts().pinned == {one, two}
    assert ledger.unpin("backup:1") == 2
    assert ledger.unpin("backup:1") == 0
    assert ledger.needed_artifacts().pinned == {one}
    with pytest.raises(InputError, match="not a digest"):
        ledger.pin("job:1", [Digest("../x")])


def test_the_oldest_job_that_may_still_run_is_known_to_all_tenants(
    ledger: Ledger, url: str
) -> None:
    assert ledger.working_since() is None
    with Ledger.open(url, tenant="other", clock=Ticking()) as other:
        first = other.acquire("improve theirs", process.identity(), 60)
        ledger.acquire("improve route", process.identity(), 60)
        assert ledger.working_since() == first.since
        other.give_back(first)
    assert ledger.working_since() > first.since


@pytest.mark.parametrize(("hours", "counts"), [(2, True), (48, False)])
def test_a_silent_process_counts_for_a_day(ledger: Ledger, hours: int, counts: bool) -> None:
    lease = ledger.acquire("improve route", process.identity(), 60)
    ledger.clock.now += timedelta(hours=hours)
    assert ledger.working_since() == (lease.since if counts else None)


def test_a_process_that_has_ended_does_not_count(ledger: Ledger) -> None:
    program = "from milepost._base import process; print(process.identity())"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    ledger.acquire("improve route", ended.stdout.strip(), 60)
    assert ledger.working_since() is None


def test_what_jobs_stored_is_known_after_their_end(ledger: Ledger) -> None:
    plan = Plan(kind="improve", subject="route", key="k", arguments={})
    begun = ledger.begin_job(plan, process.identity(), 60)
    step = Step(name="s", result={}, artifacts=(digest(1), digest(2)), seconds=1.0, finished=NOW)
    ledger.finish_step(begun.job.id, begun.lease, step)
    ledger.end_job(begun.job.id, begun.lease, "done")
    assert ledger.pins() == {}
    assert ledger.stored_by_jobs() == {digest(1), digest(2)}


def test_what_was_collected_is_in_the_audit_log(ledger: Ledger) -> None:
    ledger.record_collected(3, 1_000, actor="me", reason="old")
    entry = ledger.audit(1)[0]
    assert (entry.action, entry.actor, entry.reason) == ("artifacts.collected", "me", "old")
    assert entry.details == {"artifacts": 3, "bytes": 1_000}
