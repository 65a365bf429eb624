"""Releases and channels: one suite for the ledger over SQLite and PostgreSQL."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from milepost.entities.decision import Decision
from milepost.entities.errors import ConflictError, InputError, StorageError, UnknownNameError
from milepost.storage import tables
from milepost.storage.ledger import Ledger
from milepost.testing.records import some_contest

Released = Callable[[Ledger, int, int], int]


class TestReleases:
    def test_release_channel_and_audit_are_one(self, routed: Ledger) -> None:
        assert routed.channel("route", "production") is None
        routed.save_contest(some_contest(1))
        made = routed.make_release(
            some_contest(1).candidates[0].id, expected_version=0, reason="first", actor="ann"
        )
        assert (made.number, made.strategy, made.actor) == (1, "head", "ann")
        assert made.bundle == some_contest(1).candidates[0].bundle
        assert routed.release("route", 1) == made
        channel = routed.channel("route", "production")
        assert channel is not None
        assert (channel.release, channel.previous, channel.version) == (1, None, 1)
        moved, wrote = routed.audit(limit=2)
        assert (wrote.action, wrote.subject) == ("release.made", "route#1")
        assert (moved.sequence, moved.action) == (wrote.sequence + 1, "channel.moved")
        assert moved.subject == "route@production"
        assert moved.details == {"from": None, "to": 1, "version": 1}
        assert (moved.actor, moved.reason) == ("ann", "first")
        assert routed.contest(some_contest(1).id).release == 1

    def test_a_lost_race_changes_nothing(self, routed: Ledger, released: Released) -> None:
        released(routed, 1, 0)
        released(routed, 2, 1)
        routed.save_contest(some_contest(3))
        before = (routed.releases("route"), routed.channel("route"), routed.audit())
        for stale in (0, 1, 3):
            with pytest.raises(ConflictError):
                routed.make_release(
                    some_contest(3).candidates[0].id, expected_version=stale, reason="x"
                )
            with pytest.raises(ConflictError):
                routed.move_channel("route", "production", 1, expected_version=stale, reason="x")
        assert (routed.releases("route"), routed.channel("route"), routed.audit()) == before

    def test_a_verdict_is_stored_with_its_release_or_not_at_all(self, routed: Ledger) -> None:
        verdict = Decision(verdict="released", reasons=("good enough",))
        first = replace(some_contest(1), decision=verdict)
        assert routed.conclude(first, expected_version=0, actor="ann").release == 1
        assert routed.contest(first.id).release == 1
        assert routed.audit()[0].reason == "good enough"
        with pytest.raises(ConflictError):
            routed.conclude(replace(some_contest(2), decision=verdict), expected_version=0)
        with pytest.raises(UnknownNameError):
            routed.contest(some_contest(2).id)
        kept = replace(some_contest(3), decision=Decision(verdict="kept", reasons=("no better",)))
        assert routed.conclude(kept, expected_version=1).release is None
        assert [release.number for release in routed.releases("route")] == [1]

    def test_move_and_back(self, routed: Ledger, released: Released) -> None:
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

    def test_what_is_not_there_cannot_be_released(self, routed: Ledger, released: Released) -> None:
        released(routed, 1, 0)
        with pytest.raises(UnknownNameError):
            routed.make_release("c9-head", expected_version=1, reason="x")
        with pytest.raises(InputError, match="no stored predictor"):
            routed.make_release(some_contest(1).candidates[1].id, expected_version=1, reason="x")
        with pytest.raises(UnknownNameError, match="release '7'"):
            routed.move_channel("route", "production", 7, expected_version=1, reason="x")
        with pytest.raises(InputError):
            routed.release("route", 2**80)
        with pytest.raises(UnknownNameError, match="task"):
            routed.release("nothing", 1)

    def test_of_many_threads_one_wins(self, routed: Ledger) -> None:
        for number in range(8):
            routed.save_contest(some_contest(number))

        def attempt(number: int) -> bool:
            winner = some_contest(number).candidates[0].id
            try:
                routed.make_release(winner, expected_version=0, reason="race")
            except ConflictError:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(attempt, range(8))) == 1
        assert [r.number for r in routed.releases("route")] == [1]
        assert len(routed.audit(action="release.made")) == 1
        assert len(routed.audit(action="channel.moved")) == 1

    @pytest.mark.parametrize("table", [tables.audit, tables.releases, tables.task_versions])
    def test_the_database_refuses_to_rewrite_history(
        self, routed: Ledger, table: sa.Table, released: Released
    ) -> None:
        released(routed, 1, 0)
        for statement in (sa.delete(table), sa.update(table).values(tenant="other")):
            with (
                pytest.raises(StorageError, match="history is never changed"),
                routed.database.write("default") as connection,
            ):
                connection.execute(statement)
