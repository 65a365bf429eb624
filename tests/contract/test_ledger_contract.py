"""One suite for the ledger over SQLite and PostgreSQL."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from milepost._base.digest import digest_of
from milepost.entities.contest import Candidate, Contest
from milepost.entities.decision import Decision
from milepost.entities.errors import (
    ConflictError,
    InputError,
    StorageError,
    UnknownNameError,
    WorkspaceError,
)
from milepost.entities.example import Dataset, Finding, QualityReport, SourceFile
from milepost.entities.ids import CandidateId, ContestId, Digest
from milepost.entities.scorecard import Estimate, Scorecard
from milepost.entities.task import Objective, Task
from milepost.storage import tables
from milepost.storage.ledger import Ledger

START = datetime(2026, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC)
TASK = Task(name="route", labels={"refund": "Money back", "card": "", "ärger": "😀 \x00"})
DIGEST = Digest(digest_of(TASK))


class Ticking:
    """A clock that goes on by a second at each look."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture(params=["sqlite", "sqlite in memory", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return request.getfixturevalue("postgres_url")
    return "sqlite://" if "memory" in request.param else f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Makes addresses of databases with nothing in them."""
    if request.param == "postgresql":
        return request.getfixturevalue("new_postgres_database")
    names = iter(range(1000))
    return lambda: f"sqlite:///{tmp_path}/{next(names)} 100%.db"


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with Ledger.open(url, clock=Ticking()) as opened:
        yield opened


@pytest.fixture
def routed(ledger: Ledger) -> Ledger:
    ledger.save_task(TASK, DIGEST)
    return ledger


def digest(seed: object) -> Digest:
    return Digest(digest_of(seed))


def estimate(value: float) -> Estimate:
    return Estimate(
        value=value, low=value - 0.1, high=1.0, n=7, method="wilson", at_least=0.1, at_most=1.0
    )


def contest(number: int, *, task: str = "route", failures: int = 1) -> Contest:
    name = ContestId(f"c{number:012x}")
    good = Candidate(
        id=CandidateId(f"{name}-head"),
        strategy="head",
        parameters={"shrinkage": 0.1, "layers": [1, 2], "note": 'a "quoted" \x00 € text'},
        selection=estimate(0.1 + 0.2),
        scorecard=Scorecard(
            regime="holdout", metric="accuracy", metrics={"accuracy": estimate(2 / 3)}
        ),
        bundle=digest(name),
        predictions=digest("p"),
        chosen=True,
        fit_seconds=0.25,
    )
    bad = [
        Candidate(id=CandidateId(f"{name}-bad{i}"), strategy=f"bad{i}", error="ValueError: boom")
        for i in range(failures)
    ]
    return Contest(
        id=name,
        task=task,
        task_version=DIGEST,
        examples=digest("e"),
        holdout=digest("h"),
        regime="holdout",
        seed=2**40,
        budget_seconds=None,
        started=START,
        seconds=1 / 3,
        candidates=(good, *bad),
        decision=Decision(verdict="released", reasons=("It is good enough.",)),
        code="0.1.0",
    )


def dataset(seed: str, *, role: str = "examples", path: str = "a.csv") -> Dataset:
    return Dataset(
        digest=digest(seed),
        artifact=digest(seed + "artifact"),
        task="route",
        role=role,
        rows=3,
        sources=(SourceFile(path=path, sha256=digest("file"), rows=4),),
        quality=QualityReport(
            rows=4,
            used=3,
            labelled=2,
            label_counts={"refund": 2},
            findings=(
                Finding(check="empty", severity="error", count=1, summary="One row is empty."),
            ),
        ),
    )


def released(ledger: Ledger, number: int, expected: int) -> int:
    ledger.save_contest(contest(number))
    made = ledger.make_release(
        contest(number).candidates[0].id, expected_version=expected, reason="better"
    )
    return made.number


class TestTasks:
    def test_a_task_comes_back_with_its_labels_in_order(self, ledger: Ledger) -> None:
        assert ledger.save_task(TASK, DIGEST, "ann")
        found = ledger.task("route")
        assert found.task == TASK
        assert list(found.task.labels) == list(TASK.labels)
        assert (found.digest, found.number, found.actor) == (DIGEST, 1, "ann")
        assert found.created == START + timedelta(seconds=1)
        assert found.created.tzinfo is UTC

    def test_versions_are_added_once_and_the_current_one_can_go_back(self, routed: Ledger) -> None:
        stricter = replace(TASK, objective=Objective(at_least=0.9))
        assert routed.save_task(stricter, digest(stricter))
        assert routed.task("route").task == stricter
        assert not routed.save_task(TASK, DIGEST)
        assert routed.task("route").task == TASK
        assert [v.digest for v in routed.task_versions("route")] == [DIGEST, digest(stricter)]

    def test_tasks_are_sorted_and_filtered_by_use_case(self, routed: Ledger) -> None:
        other = replace(TASK, name="a-task")
        routed.save_task(other, digest(other), use_case="support")
        assert routed.tasks() == ("a-task", "route")
        assert routed.tasks("support") == ("a-task",)

    def test_an_unknown_task_is_answered_with_the_nearest(self, routed: Ledger) -> None:
        with pytest.raises(UnknownNameError, match="Did you mean 'route'"):
            routed.task("rout")
        for ask in (routed.task_versions, routed.sides, routed.looks, routed.contests):
            with pytest.raises(UnknownNameError):
                ask("nothing")
        with pytest.raises(UnknownNameError):
            routed.channel("nothing", "production")
        with pytest.raises(UnknownNameError):
            routed.latest_dataset("nothing", "examples")
        with pytest.raises(UnknownNameError):
            routed.save_contest(contest(1, task="nothing"))

    def test_something_else_than_a_digest_is_refused(self, ledger: Ledger) -> None:
        with pytest.raises(InputError, match="not a digest"):
            ledger.save_task(TASK, Digest("../../etc/passwd"))

    @pytest.mark.parametrize("name", ["\ud800", "a\x00b"])
    def test_odd_text_is_an_input_error(self, routed: Ledger, name: str) -> None:
        with pytest.raises(InputError):
            routed.task(name)


class TestData:
    def test_latest_follows_what_was_saved_last(self, routed: Ledger) -> None:
        assert routed.latest_dataset("route", "examples") is None
        one, two = dataset("one"), dataset("two")
        assert routed.save_dataset(one)
        assert not routed.save_dataset(one)
        routed.save_dataset(two)
        routed.save_dataset(dataset("three", role="test"))
        assert routed.latest_dataset("route", "examples") == two
        assert routed.save_dataset(one)
        assert routed.latest_dataset("route", "examples") == one
        assert routed.dataset(two.digest) == two

    def test_the_newest_record_of_equal_content_is_given(self, routed: Ledger) -> None:
        routed.save_dataset(dataset("one", path="old.csv"))
        routed.save_dataset(dataset("one", path="new.csv"))
        assert routed.dataset(digest("one")).sources[0].path == "new.csv"

    def test_unknown_data_is_refused(self, routed: Ledger) -> None:
        with pytest.raises(UnknownNameError):
            routed.dataset(digest("none"))
        with pytest.raises(UnknownNameError):
            routed.save_dataset(replace(dataset("x"), task="nothing"))

    def test_the_first_side_of_a_group_stays(self, routed: Ledger) -> None:
        assert routed.record_sides("route", {"a": "train", "b": "holdout"}) == {
            "a": "train",
            "b": "holdout",
        }
        now = routed.record_sides("route", {"a": "holdout", "c": "train"})
        assert now == {"a": "train", "c": "train"}
        assert routed.sides("route") == {"a": "train", "b": "holdout", "c": "train"}
        assert routed.record_sides("route", {}) == {}

    def test_threads_agree_on_sides(self, routed: Ledger) -> None:
        keys = [f"g{i}" for i in range(40)]

        def draw(side: str) -> dict[str, str]:
            return routed.record_sides("route", dict.fromkeys(keys, side))

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(draw, [f"s{i}" for i in range(8)]))
        assert all(answer == answers[0] for answer in answers)
        assert routed.sides("route") == answers[0]

    def test_looks_are_counted_per_holdout(self, routed: Ledger) -> None:
        assert routed.record_look("route", digest("h"), purpose="certify") == 1
        assert routed.record_look("route", digest("other"), purpose="certify") == 1
        source = ContestId("c0")
        assert routed.record_look("route", digest("h"), "again", contest=source, actor="ann") == 2
        first, second = routed.looks("route", digest("h"))
        assert (first.purpose, first.contest) == ("certify", None)
        assert (second.actor, second.contest) == ("ann", source)
        assert first.at < second.at
        assert len(routed.looks("route")) == 3

    def test_looks_of_many_threads_are_all_counted(self, routed: Ledger) -> None:
        with ThreadPoolExecutor(8) as pool:
            numbers = pool.map(
                lambda _: routed.record_look("route", digest("h"), "certify"), range(24)
            )
        assert sorted(numbers) == list(range(1, 25))


class TestContests:
    def test_a_contest_comes_back_equal(self, routed: Ledger) -> None:
        routed.save_contest(contest(1, failures=5))
        assert routed.contest(contest(1).id) == contest(1, failures=5)
        assert routed.candidate(contest(1).candidates[1].id) == contest(1).candidates[1]
        assert routed.contest_of(contest(1).candidates[1].id).id == contest(1).id

    def test_newest_first(self, routed: Ledger) -> None:
        assert routed.latest_contest("route") is None
        for number in (3, 1, 2):
            routed.save_contest(contest(number))
        assert [c.id[-1] for c in routed.contests("route")] == ["2", "1", "3"]
        assert [c.id[-1] for c in routed.contests("route", limit=2)] == ["2", "1"]
        latest = routed.latest_contest("route")
        assert latest == contest(2)

    def test_unknown_ones_are_refused(self, routed: Ledger) -> None:
        with pytest.raises(UnknownNameError):
            routed.contest("c0")
        with pytest.raises(UnknownNameError):
            routed.candidate("c0-head")
        with pytest.raises(UnknownNameError, match="version"):
            routed.save_contest(replace(contest(1), task_version=digest("never saved")))

    def test_a_contest_is_stored_once(self, routed: Ledger) -> None:
        routed.save_contest(contest(1))
        with pytest.raises(ConflictError):
            routed.save_contest(replace(contest(1), seconds=9.0))
        assert routed.contest(contest(1).id) == contest(1)

    def test_all_or_nothing(self, routed: Ledger) -> None:
        twice = contest(1)
        twice = replace(twice, candidates=(*twice.candidates, twice.candidates[0]))
        with pytest.raises(StorageError):
            routed.save_contest(twice)
        assert routed.contests("route") == ()
        routed.save_contest(contest(1))

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_a_number_that_is_not_finite_is_refused(self, routed: Ledger, value: float) -> None:
        with pytest.raises(StorageError, match="cannot be stored"):
            routed.save_contest(replace(contest(1), seconds=value))

    def test_a_seed_out_of_range_is_an_input_error(self, routed: Ledger) -> None:
        with pytest.raises(InputError):
            routed.save_contest(replace(contest(1), seed=2**63))


class TestReleases:
    def test_release_channel_and_audit_are_one(self, routed: Ledger) -> None:
        assert routed.channel("route", "production") is None
        routed.save_contest(contest(1))
        made = routed.make_release(
            contest(1).candidates[0].id, expected_version=0, reason="first", actor="ann"
        )
        assert (made.number, made.strategy, made.actor) == (1, "head", "ann")
        assert made.bundle == contest(1).candidates[0].bundle
        assert routed.release("route", 1) == made
        channel = routed.channel("route", "production")
        assert channel is not None
        assert (channel.release, channel.previous, channel.version) == (1, None, 1)
        moved, wrote = routed.audit()
        assert (wrote.sequence, wrote.action, wrote.subject) == (1, "release.made", "route#1")
        assert (moved.sequence, moved.action) == (2, "channel.moved")
        assert moved.subject == "route@production"
        assert moved.details == {"from": None, "to": 1, "version": 1}
        assert (moved.actor, moved.reason) == ("ann", "first")
        assert routed.contest(contest(1).id).release == 1

    def test_a_lost_race_changes_nothing(self, routed: Ledger) -> None:
        released(routed, 1, 0)
        released(routed, 2, 1)
        routed.save_contest(contest(3))
        before = (routed.releases("route"), routed.channel("route"), routed.audit())
        for stale in (0, 1, 3):
            with pytest.raises(ConflictError):
                routed.make_release(contest(3).candidates[0].id, expected_version=stale, reason="x")
            with pytest.raises(ConflictError):
                routed.move_channel("route", "production", 1, expected_version=stale, reason="x")
        assert (routed.releases("route"), routed.channel("route"), routed.audit()) == before

    def test_a_verdict_is_stored_with_its_release_or_not_at_all(self, routed: Ledger) -> None:
        verdict = Decision(verdict="released", reasons=("good enough",))
        first = replace(contest(1), decision=verdict)
        assert routed.conclude(first, expected_version=0, actor="ann").release == 1
        assert routed.contest(first.id).release == 1
        assert routed.audit()[0].reason == "good enough"
        with pytest.raises(ConflictError):
            routed.conclude(replace(contest(2), decision=verdict), expected_version=0)
        with pytest.raises(UnknownNameError):
            routed.contest(contest(2).id)
        kept = replace(contest(3), decision=Decision(verdict="kept", reasons=("no better",)))
        assert routed.conclude(kept, expected_version=1).release is None
        assert [release.number for release in routed.releases("route")] == [1]

    def test_move_and_back(self, routed: Ledger) -> None:
        released(routed, 1, 0)
        released(routed, 2, 1)
        back = routed.move_channel("route", "production", 1, expected_version=2, reason="bad")
        assert (back.release, back.previous, back.version) == (1, 2, 3)
        assert routed.channel("route", "production") == back
        with pytest.raises(InputError, match="already"):
            routed.move_channel("route", "production", 1, expected_version=3, reason="again")
        canary = routed.move_channel("route", "canary", 2, expected_version=0, reason="try")
        assert (canary.release, canary.version) == (2, 1)
        assert routed.audit(limit=1)[0].subject == "route@canary"

    def test_what_is_not_there_cannot_be_released(self, routed: Ledger) -> None:
        released(routed, 1, 0)
        with pytest.raises(UnknownNameError):
            routed.make_release("c9-head", expected_version=1, reason="x")
        with pytest.raises(InputError, match="no stored predictor"):
            routed.make_release(contest(1).candidates[1].id, expected_version=1, reason="x")
        with pytest.raises(UnknownNameError, match="release '7'"):
            routed.move_channel("route", "production", 7, expected_version=1, reason="x")
        with pytest.raises(InputError):
            routed.release("route", 2**80)
        with pytest.raises(UnknownNameError, match="task"):
            routed.release("nothing", 1)

    def test_of_many_threads_one_wins(self, routed: Ledger) -> None:
        for number in range(8):
            routed.save_contest(contest(number))

        def attempt(number: int) -> bool:
            winner = contest(number).candidates[0].id
            try:
                routed.make_release(winner, expected_version=0, reason="race")
            except ConflictError:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(attempt, range(8))) == 1
        assert [r.number for r in routed.releases("route")] == [1]
        assert [entry.sequence for entry in routed.audit()] == [2, 1]

    @pytest.mark.parametrize("table", [tables.audit, tables.releases, tables.task_versions])
    def test_the_database_refuses_to_rewrite_history(self, routed: Ledger, table: sa.Table) -> None:
        released(routed, 1, 0)
        for statement in (sa.delete(table), sa.update(table).values(tenant="other")):
            with (
                pytest.raises(StorageError, match="history is never changed"),
                routed.database.write("default") as connection,
            ):
                connection.execute(statement)


def test_tenants_do_not_see_each_other(new_url: Callable[[], str]) -> None:
    url = new_url()
    with Ledger.open(url) as one, Ledger.open(url, tenant="two") as two:
        one.save_task(TASK, DIGEST)
        released(one, 1, 0)
        assert two.tasks() == ()
        assert two.audit() == ()
        with pytest.raises(UnknownNameError):
            two.contest(contest(1).id)
        two.save_task(TASK, DIGEST)
        assert released(two, 1, 0) == 1
        assert [entry.sequence for entry in two.audit()] == [2, 1]


def test_what_is_written_is_there_after_opening_again(new_url: Callable[[], str]) -> None:
    url = new_url()
    with Ledger.open(url) as one:
        one.save_task(TASK, DIGEST)
        released(one, 1, 0)
    with Ledger.open(url) as again:
        assert again.releases("route")[0].number == 1
        assert again.contest(contest(1).id) == replace(contest(1), release=1)


OPENER = """
import sys
from milepost._base.digest import digest_of
from milepost.entities.task import Task
from milepost.storage.ledger import Ledger
task = Task(name="t" + sys.argv[1], labels={"a": "", "b": ""})
print("ready", flush=True)
for line in sys.stdin:
    with Ledger.open(line.strip()) as ledger:
        assert ledger.save_task(task, digest_of(task))
    print("saved", flush=True)
"""


def test_processes_open_a_fresh_ledger_at_once(new_url: Callable[[], str]) -> None:
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", OPENER, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(8)
    ]

    def answers() -> list[str]:
        return [process.stdout.readline().strip() for process in running if process.stdout]

    assert answers() == ["ready"] * 8
    for _ in range(5):
        url = new_url()
        for process in running:
            assert process.stdin is not None
            process.stdin.write(f"{url}\n")
            process.stdin.flush()
        assert answers() == ["saved"] * 8
        with Ledger.open(url) as ledger:
            assert len(ledger.tasks()) == 8
    for process in running:
        process.communicate()
    assert [process.returncode for process in running] == [0] * 8


def test_threads_open_a_fresh_ledger_at_once(new_url: Callable[[], str]) -> None:
    url = new_url()
    with ThreadPoolExecutor(8) as pool:
        for ledger in pool.map(lambda _: Ledger.open(url), range(8)):
            assert ledger.tasks() == ()
            ledger.close()


def test_a_ledger_of_a_newer_version_is_refused(new_url: Callable[[], str]) -> None:
    url = new_url()
    with Ledger.open(url) as ledger, ledger.database.write("default") as connection:
        connection.execute(sa.text("UPDATE milepost_version SET version_num = '9999'"))
    with pytest.raises(WorkspaceError, match=r"newer milepost .* 9999.*pip install --upgrade"):
        Ledger.open(url)


def test_migrations_make_exactly_the_tables(new_url: Callable[[], str]) -> None:
    def described(url: str) -> dict[str, object]:
        engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        look = sa.inspect(engine)
        found: dict[str, object] = {
            name: {
                "columns": [
                    (c["name"], str(c["type"]), c["nullable"], c["default"])
                    for c in look.get_columns(name)
                ],
                "key": look.get_pk_constraint(name),
                "foreign": sorted(look.get_foreign_keys(name), key=str),
                "unique": sorted(look.get_unique_constraints(name), key=str),
                "indexes": sorted(look.get_indexes(name), key=str),
            }
            for name in look.get_table_names()
            if name != "milepost_version"
        }
        engine.dispose()
        return found

    migrated, made = new_url(), new_url()
    Ledger.open(migrated).close()
    engine = sa.create_engine(made.replace("postgresql:", "postgresql+psycopg:"))
    tables.metadata.create_all(engine)
    engine.dispose()
    assert described(migrated) == described(made)
    assert set(described(made)) == set(tables.metadata.tables)
