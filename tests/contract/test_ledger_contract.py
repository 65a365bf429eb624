"""Tasks, data and contests: one suite for the ledger over SQLite and PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, timedelta

import pytest
from msgspec.structs import replace

from milepost.entities.errors import ConflictError, InputError, StorageError, UnknownNameError
from milepost.entities.ids import ContestId, Digest
from milepost.entities.task import Objective
from milepost.storage.ledger import Ledger
from milepost.testing.records import (
    START,
    TASK,
    some_contest,
    some_dataset,
    some_digest,
    task_digest,
)

DIGEST = task_digest(TASK)


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
        assert routed.save_task(stricter, some_digest(stricter))
        assert routed.task("route").task == stricter
        assert not routed.save_task(TASK, DIGEST)
        assert routed.task("route").task == TASK
        assert [v.digest for v in routed.task_versions("route")] == [DIGEST, some_digest(stricter)]

    def test_tasks_are_sorted_and_filtered_by_use_case(self, routed: Ledger) -> None:
        other = replace(TASK, name="a-task")
        routed.save_task(other, some_digest(other), use_case="support")
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
            routed.save_contest(replace(some_contest(1), task="nothing"))

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
        one, two = some_dataset("one"), some_dataset("two")
        assert routed.save_dataset(one)
        assert not routed.save_dataset(one)
        routed.save_dataset(two)
        routed.save_dataset(some_dataset("three", role="test"))
        assert routed.latest_dataset("route", "examples") == two
        assert routed.save_dataset(one)
        assert routed.latest_dataset("route", "examples") == one
        assert routed.dataset(two.digest) == two

    def test_the_newest_record_of_equal_content_is_given(self, routed: Ledger) -> None:
        routed.save_dataset(some_dataset("one", path="old.csv"))
        routed.save_dataset(some_dataset("one", path="new.csv"))
        assert routed.dataset(some_digest("one")).sources[0].path == "new.csv"

    def test_unknown_data_is_refused(self, routed: Ledger) -> None:
        with pytest.raises(UnknownNameError):
            routed.dataset(some_digest("none"))
        with pytest.raises(UnknownNameError):
            routed.save_dataset(replace(some_dataset("x"), task="nothing"))

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
        assert routed.record_look("route", some_digest("h"), purpose="certify") == 1
        assert routed.record_look("route", some_digest("other"), purpose="certify") == 1
        source = ContestId("c0")
        assert (
            routed.record_look("route", some_digest("h"), "again", contest=source, actor="ann") == 2
        )
        first, second = routed.looks("route", some_digest("h"))
        assert (first.purpose, first.contest) == ("certify", None)
        assert (second.actor, second.contest) == ("ann", source)
        assert first.at < second.at
        assert len(routed.looks("route")) == 3

    def test_looks_of_many_threads_are_all_counted(self, routed: Ledger) -> None:
        with ThreadPoolExecutor(8) as pool:
            numbers = pool.map(
                lambda _: routed.record_look("route", some_digest("h"), "certify"), range(24)
            )
        assert sorted(numbers) == list(range(1, 25))


class TestContests:
    def test_a_contest_comes_back_equal(self, routed: Ledger) -> None:
        routed.save_contest(some_contest(1, failures=5))
        assert routed.contest(some_contest(1).id) == some_contest(1, failures=5)
        assert routed.candidate(some_contest(1).candidates[1].id) == some_contest(1).candidates[1]
        assert routed.contest_of(some_contest(1).candidates[1].id).id == some_contest(1).id

    def test_newest_first(self, routed: Ledger) -> None:
        assert routed.latest_contest("route") is None
        for number in (3, 1, 2):
            routed.save_contest(some_contest(number))
        assert [c.id[-1] for c in routed.contests("route")] == ["2", "1", "3"]
        assert [c.id[-1] for c in routed.contests("route", limit=2)] == ["2", "1"]
        latest = routed.latest_contest("route")
        assert latest == some_contest(2)

    def test_unknown_ones_are_refused(self, routed: Ledger) -> None:
        with pytest.raises(UnknownNameError):
            routed.contest("c0")
        with pytest.raises(UnknownNameError):
            routed.candidate("c0-head")
        with pytest.raises(UnknownNameError, match="version"):
            routed.save_contest(replace(some_contest(1), task_version=some_digest("never saved")))

    def test_a_contest_is_stored_once(self, routed: Ledger) -> None:
        routed.save_contest(some_contest(1))
        with pytest.raises(ConflictError):
            routed.save_contest(replace(some_contest(1), seconds=9.0))
        assert routed.contest(some_contest(1).id) == some_contest(1)

    def test_all_or_nothing(self, routed: Ledger) -> None:
        twice = some_contest(1)
        twice = replace(twice, candidates=(*twice.candidates, twice.candidates[0]))
        with pytest.raises(StorageError):
            routed.save_contest(twice)
        assert routed.contests("route") == ()
        routed.save_contest(some_contest(1))

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_a_number_that_is_not_finite_is_refused(self, routed: Ledger, value: float) -> None:
        with pytest.raises(StorageError, match="cannot be stored"):
            routed.save_contest(replace(some_contest(1), seconds=value))

    def test_a_seed_out_of_range_is_an_input_error(self, routed: Ledger) -> None:
        with pytest.raises(InputError):
            routed.save_contest(replace(some_contest(1), seed=2**63))
