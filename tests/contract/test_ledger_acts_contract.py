"""What the ledger writes down about every act, and acts that are asked for twice."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec.structs import replace

from milepost._base.settings import Settings
from milepost.entities.configuration import Configuration
from milepost.entities.errors import ConflictError, InputError, UnknownNameError
from milepost.entities.ids import ContestId
from milepost.entities.release import Channel
from milepost.entities.task import Objective
from milepost.storage import tables
from milepost.storage.ledger import Ledger
from milepost.testing.records import (
    TASK,
    chained,
    some_contest,
    some_dataset,
    some_digest,
    task_digest,
)

Released = Callable[[Ledger, int, int], int]


def told(ledger: Ledger) -> list[tuple[str, str]]:
    return [(entry.action, entry.subject) for entry in ledger.audit()[::-1]]


class TestAudit:
    def test_tasks(self, ledger: Ledger) -> None:
        stricter = replace(TASK, objective=Objective(at_least=0.9))
        ledger.save_task(TASK, task_digest(TASK), "ann")
        ledger.save_task(TASK, task_digest(TASK), "ann")
        ledger.save_task(stricter, task_digest(stricter), "ben")
        ledger.save_task(TASK, task_digest(TASK), "ann")
        added, changed, back = ledger.audit()[::-1]
        assert [e.action for e in (added, changed, back)] == ["task.added", *["task.changed"] * 2]
        assert added.details == {"before": None, "after": task_digest(TASK), "version": 1}
        assert changed.details == {
            "before": task_digest(TASK),
            "after": task_digest(stricter),
            "version": 2,
        }
        assert (changed.actor, back.details["version"]) == ("ben", 1)

    def test_of_two_versions_at_once_the_last_wins_and_both_are_told(self, ledger: Ledger) -> None:
        versions = [replace(TASK, instruction=str(number)) for number in range(8)]
        with ThreadPoolExecutor(8) as pool:
            new = pool.map(lambda task: ledger.save_task(task, task_digest(task)), versions)
        assert all(new)
        entries = ledger.audit()[::-1]
        assert {e.details["after"] for e in entries} == {task_digest(task) for task in versions}
        assert entries[-1].details["after"] == ledger.task("route").digest
        before = [entry.details["after"] for entry in entries[:-1]]
        assert [entry.details["before"] for entry in entries[1:]] == before

    def test_data_and_looks(self, routed: Ledger) -> None:
        routed.save_dataset(some_dataset("one"), "ann")
        routed.save_dataset(some_dataset("one"), "ann")
        source = ContestId("c1")
        routed.record_look("route", some_digest("h"), "certify", contest=source, actor="ann")
        look, data = routed.audit(2)
        assert (data.action, data.subject) == ("dataset.recorded", "route/examples")
        assert data.details == {
            "role": "examples",
            "digest": some_digest("one"),
            "artifact": some_digest("oneartifact"),
            "rows": 3,
            "sources": [{"path": "a.csv", "sha256": some_digest("file")}],
        }
        assert (look.action, look.subject, look.reason) == (
            "holdout.looked",
            "route/holdout",
            "certify",
        )
        assert look.details == {"holdout": some_digest("h"), "look": 1, "contest": "c1"}

    def test_a_contest(self, routed: Ledger, released: Released) -> None:
        released(routed, 1, 0)
        second = some_contest(2, verdict="kept")
        routed.conclude(second, expected_version=1, actor="ann")
        decided, certified = routed.audit(2)
        assert (certified.action, certified.subject) == ("candidate.certified", second.chosen.id)
        assert certified.details == {
            "task": "route",
            "contest": second.id,
            "candidate": second.chosen.id,
            "bundle": second.chosen.bundle,
            "regime": "holdout",
            "metric": "accuracy",
            "value": 2 / 3,
            "low": 2 / 3 - 0.1,
            "high": 1.0,
            "n": 7,
            "examples": second.examples,
            "holdout": second.holdout,
        }
        assert (decided.action, decided.subject) == ("gate.decided", second.id)
        assert decided.reason == "It is good enough."
        assert decided.details["verdict"] == "kept"
        assert decided.details["incumbent"] == 1

    def test_a_contest_without_a_choice_is_told_too(self, routed: Ledger) -> None:
        nothing = some_contest(1, verdict="insufficient_evidence")
        failed = tuple(replace(c, chosen=False) for c in nothing.candidates)
        routed.conclude(replace(nothing, candidates=failed), expected_version=0)
        assert told(routed)[1:] == [("gate.decided", nothing.id)]
        assert routed.audit(1)[0].details["candidate"] is None

    def test_what_fails_is_not_told(self, routed: Ledger) -> None:
        before = routed.audit()
        with pytest.raises(ConflictError):
            routed.conclude(some_contest(1), expected_version=3)
        with pytest.raises(UnknownNameError):
            routed.save_dataset(some_dataset("x", task="nothing"))
        assert routed.audit() == before

    def test_settings(self, ledger: Ledger) -> None:
        plain = Configuration()
        assert ledger.record_configuration(plain, "ann")
        assert not ledger.record_configuration(plain, "ann")
        changed = Configuration(
            ledger="postgresql://ann:s3cret@db:5433/ledger?password=s3cret",
            artifacts="s3://key:s3cret@bucket/folder",
            openlineage="https://user:s3cret@host/events?token=s3cret",
            settings=Settings(folds=7),
        )
        assert ledger.record_configuration(changed, "ben")
        assert not ledger.record_configuration(replace(changed, ledger=changed.ledger + "x"))
        entry, first = ledger.audit()
        assert (first.details["keys"], first.details["settings"]) == ([], {})
        assert entry.details["keys"] == ["artifacts", "ledger", "openlineage"]
        assert entry.details["settings"] == {"folds": {"from": 5, "to": 7}}
        assert (entry.action, entry.actor) == ("setting.changed", "ben")
        with ledger.database.read() as connection:
            rows = connection.execute(tables.configurations.select()).all()
        assert len(rows) == 2
        assert "s3cret" not in str(rows) + str(ledger.audit())
        assert "postgresql://db:5433/ledger" in rows[1].record

    def test_all_of_it_is_one_chain(self, routed: Ledger, released: Released) -> None:
        released(routed, 1, 0)
        routed.record_configuration(Configuration())
        routed.save_dataset(some_dataset("one"))
        assert len(routed.audit()) == 7
        assert chained(routed)


class TestAskedTwice:
    def test_a_look_of_a_resumed_contest_is_one(self, routed: Ledger) -> None:
        holdout, source = some_digest("h"), ContestId("c1")
        assert routed.record_look("route", holdout, "certify", contest=source) == 1
        assert routed.record_look("route", holdout, "certify") == 2
        assert routed.record_look("route", holdout, "certify", contest=source) == 1
        assert routed.record_look("route", holdout, "peek", contest=source) == 3
        assert routed.record_look("route", holdout, "certify", contest=ContestId("c2")) == 4
        assert routed.record_look("route", some_digest("o"), "certify", contest=source) == 1
        assert len(routed.looks("route")) == 5

    def test_looks_of_one_contest_from_many_threads_are_one(self, routed: Ledger) -> None:
        with ThreadPoolExecutor(8) as pool:
            numbers = pool.map(
                lambda _: routed.record_look(
                    "route", some_digest("h"), "certify", contest=ContestId("c1")
                ),
                range(16),
            )
        assert set(numbers) == {1}
        assert len(routed.audit(action="holdout.looked")) == 1

    def test_concluded_once(self, routed: Ledger) -> None:
        first = some_contest(1)
        done = routed.conclude(first, expected_version=0, actor="ann", idempotency_key="k")
        before = routed.audit()
        # A resumed job measured another time, and sees the channel that it moved itself.
        again = replace(first, seconds=99.0)
        assert routed.conclude(again, expected_version=1, actor="ann", idempotency_key="k") == done
        assert done == replace(first, release=1)
        assert routed.audit() == before
        with pytest.raises(ConflictError):
            routed.conclude(first, expected_version=1, actor="ann")
        with pytest.raises(ConflictError):
            routed.conclude(first, expected_version=1, actor="ann", idempotency_key="other")
        with pytest.raises(InputError, match="used for another request"):
            routed.conclude(some_contest(2), expected_version=1, actor="ann", idempotency_key="k")
        assert routed.audit() == before

    def test_a_contest_is_saved_once(self, routed: Ledger) -> None:
        routed.save_contest(some_contest(1), idempotency_key="k")
        routed.save_contest(some_contest(1), idempotency_key="k")
        with pytest.raises(InputError):
            routed.save_contest(some_contest(2), idempotency_key="k")
        assert len(routed.contests("route")) == 1

    def test_released_and_moved_once(self, routed: Ledger, released: Released) -> None:
        released(routed, 1, 0)
        routed.save_contest(some_contest(2))
        winner = some_contest(2).chosen.id

        def make(expected: int, reason: str = "better") -> object:
            return routed.make_release(
                winner, expected_version=expected, reason=reason, idempotency_key="make"
            )

        def move(to: int, expected: int, key: str = "move") -> Channel:
            return routed.move_channel(
                "route",
                "production",
                to,
                expected_version=expected,
                reason="back",
                idempotency_key=key,
            )

        assert make(1) == make(2) == make(1) == routed.release("route", 2)
        first = move(1, 2)
        assert move(2, 3, "forth").version == 4
        assert move(1, 2) == move(1, 4) == first
        channel = routed.channel("route")
        assert channel is not None
        assert (channel.release, channel.version) == (2, 4)
        with pytest.raises(InputError, match="used for another request"):
            move(2, 4)
        with pytest.raises(InputError, match="used for another request"):
            make(4, "another reason")
        with pytest.raises(InputError, match="used for another request"):
            move(1, 4, "make")
        assert len(routed.audit(action="channel.moved")) == 4

    def test_one_key_from_many_threads_acts_once(self, routed: Ledger, released: Released) -> None:
        released(routed, 1, 0)
        released(routed, 2, 1)

        def move(_: int) -> Channel:
            return routed.move_channel(
                "route",
                "production",
                1,
                expected_version=2,
                reason="back",
                idempotency_key="k",
            )

        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(move, range(16)))) == 1
        assert len(routed.audit(action="channel.moved")) == 3

    def test_a_refused_request_leaves_its_key_free(self, routed: Ledger) -> None:
        with pytest.raises(ConflictError):
            routed.conclude(some_contest(1), expected_version=7, idempotency_key="k")
        assert routed.conclude(some_contest(1), expected_version=0, idempotency_key="k").release

    @pytest.mark.parametrize("key", ["", "a b", "é", "x" * 129, "line\n", "\x00", "tab\t"])
    def test_a_text_that_is_no_key_is_refused(self, routed: Ledger, key: str) -> None:
        with pytest.raises(InputError, match="no idempotency key"):
            routed.conclude(some_contest(1), expected_version=0, idempotency_key=key)
        assert routed.contests("route") == ()
