"""Approvals by other people than the maker: one suite over SQLite and PostgreSQL."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec.structs import replace

from milepost.entities.errors import ConflictError, InputError, UnknownNameError
from milepost.entities.release import Channel
from milepost.storage.ledger import Ledger
from milepost.testing.records import TASK, chained, some_contest, some_task, task_digest

Released = Callable[[Ledger, int, int], int]


class TestApprovals:
    @pytest.fixture
    def asking(self, ledger: Ledger) -> Ledger:
        """With release 1, and release 2 that waits for two approvals; both were made by ann."""
        ledger.save_task(TASK, task_digest(TASK))
        ledger.conclude(some_contest(1), expected_version=0, actor="ann")
        ruled = some_task(approvals=2)
        ledger.save_task(ruled, task_digest(ruled))
        made = ledger.conclude(some_contest(2, task=ruled), expected_version=1, actor="ann")
        assert (made.release, made.waits_for) == (2, 2)
        return ledger

    def runs(self, ledger: Ledger) -> tuple[int, int]:
        channel = ledger.channel("route")
        return (channel.release, channel.version) if channel else (0, 0)

    def test_the_last_approval_moves_the_channel(self, asking: Ledger) -> None:
        assert self.runs(asking) == (1, 1)
        came = asking.approve("route", 2, reason="read it", actor="ben")
        assert (came.given, came.needed, came.outcome) == (1, 2, "waiting")
        assert asking.contest(some_contest(2).id).waits_for == 1
        assert self.runs(asking) == (1, 1)
        came = asking.approve("route", 2, reason="me too", actor="cyd")
        assert (came.given, came.outcome) == (2, "live")
        assert came.channel == asking.channel("route")
        assert self.runs(asking) == (2, 2)
        assert asking.contest(some_contest(2).id).waits_for == 0
        moved, approved = asking.audit(2)
        assert (approved.action, approved.subject) == ("release.approved", "route#2")
        assert approved.details == {
            "release": asking.release("route", 2).digest,
            "given": 2,
            "needed": 2,
            "outcome": "live",
        }
        assert (moved.action, moved.actor, moved.reason) == ("channel.moved", "cyd", "me too")
        assert [a.actor for a in asking.approvals("route", 2).approvals] == ["ben", "cyd"]
        assert chained(asking)

    @pytest.mark.parametrize("actor", ["ann", " Ann", "ANN"])
    def test_the_maker_cannot_approve(self, asking: Ledger, actor: str) -> None:
        with pytest.raises(InputError, match=r"made release 2 .* cannot approve"):
            asking.approve("route", 2, reason="mine", actor=actor)
        assert asking.approvals("route", 2).approvals == ()

    def test_who_ran_the_contest_counts_as_a_maker(self, asking: Ledger) -> None:
        ruled = some_task(approvals=2)
        ran = replace(some_contest(3, task=ruled), actors=("eve", "dan"))
        asking.save_contest(ran, "dan")
        asking.make_release(
            some_contest(3).chosen.id, expected_version=1, reason="by hand", actor="ben"
        )
        for maker in ("ben", "dan", "Eve"):
            with pytest.raises(InputError, match="cannot approve"):
                asking.approve("route", 3, reason="mine", actor=maker)
        assert asking.approve("route", 3, reason="fine", actor="ann").given == 1

    def test_nobody_approves_twice(self, asking: Ledger) -> None:
        asking.approve("route", 2, reason="once", actor="ben")
        before = asking.audit()
        again = asking.approve("route", 2, reason="twice", actor="BEN ")
        assert (again.repeated, again.given, again.outcome) == (True, 1, "waiting")
        assert asking.audit() == before
        with pytest.raises(InputError, match="needs a name"):
            asking.approve("route", 2, reason="nobody", actor="  ")

    def test_asked_with_a_key_twice_the_first_answer_is_given(self, asking: Ledger) -> None:
        def approve(actor: str) -> object:
            return asking.approve("route", 2, reason="ok", actor=actor, idempotency_key="k")

        first = approve("ben")
        asking.approve("route", 2, reason="ok", actor="cyd")
        assert approve("ben") == first
        with pytest.raises(InputError, match="used for another request"):
            approve("dan")

    def test_what_lacks_approvals_is_not_promoted(self, asking: Ledger) -> None:
        def promote(to: int) -> Channel:
            version = self.runs(asking)[1]
            return asking.move_channel(
                "route", "production", to, expected_version=version, reason="now"
            )

        asking.approve("route", 2, reason="ok", actor="ben")
        with pytest.raises(InputError, match=r"lacks 1 of the 2 .*milepost approve route 2"):
            promote(2)
        with pytest.raises(InputError, match="lacks"):
            asking.move_channel("route", "canary", 2, expected_version=0, reason="try")
        # Nor is one that was made when the task asked for none, now that it asks for more.
        asking.approve("route", 2, reason="ok", actor="cyd")
        with pytest.raises(InputError, match=r"release 1 .* lacks 2"):
            promote(1)
        assert self.runs(asking) == (2, 2)

    def test_a_weaker_rule_does_not_free_what_was_made_under_a_stricter(
        self, asking: Ledger
    ) -> None:
        asking.save_task(TASK, task_digest(TASK))
        with pytest.raises(InputError, match="lacks 2"):
            asking.move_channel("route", "production", 2, expected_version=1, reason="now")
        assert asking.approvals("route", 2).needed == 2

    def test_a_stricter_rule_holds_for_what_waits(self, asking: Ledger) -> None:
        stricter = some_task(approvals=3)
        asking.save_task(stricter, task_digest(stricter))
        asking.approve("route", 2, reason="ok", actor="ben")
        assert asking.approve("route", 2, reason="ok", actor="cyd").outcome == "waiting"
        assert asking.contest(some_contest(2).id).waits_for == 1
        assert asking.approve("route", 2, reason="ok", actor="dan").outcome == "live"

    def test_going_back_needs_what_was_asked_for_then(self, asking: Ledger) -> None:
        def back(to: int, version: int) -> Channel:
            return asking.move_channel(
                "route", "production", to, expected_version=version, reason="bad", back=True
            )

        for actor in ("ben", "cyd"):
            asking.approve("route", 2, reason="ok", actor=actor)
        assert asking.newest_admitted("route", before=2) == 1
        assert back(1, 2).release == 1
        with pytest.raises(InputError, match="not older"):
            back(2, 3)
        forth = asking.move_channel("route", "production", 2, expected_version=3, reason="again")
        assert forth.release == 2

    def test_going_back_skips_what_was_never_approved(self, asking: Ledger) -> None:
        ruled = some_task(approvals=2)
        asking.conclude(some_contest(3, task=ruled), expected_version=1, actor="ann")
        for actor in ("ben", "cyd"):
            asking.approve("route", 3, reason="ok", actor=actor)
        assert self.runs(asking) == (3, 2)
        assert asking.newest_admitted("route", before=3) == 1
        assert asking.newest_admitted("route", before=1) is None
        with pytest.raises(InputError, match="lacks 2"):
            asking.move_channel(
                "route", "production", 2, expected_version=2, reason="bad", back=True
            )

    def test_an_overtaken_release_is_approved_but_stays(self, asking: Ledger) -> None:
        ruled = some_task(approvals=2)
        asking.conclude(some_contest(3, task=ruled), expected_version=1, actor="ann")
        for actor in ("ben", "cyd"):
            asking.approve("route", 3, reason="ok", actor=actor)
        asking.approve("route", 2, reason="ok", actor="ben")
        came = asking.approve("route", 2, reason="ok", actor="cyd")
        assert (came.outcome, came.given) == ("overtaken", 2)
        assert self.runs(asking) == (3, 2)
        assert asking.audit(1)[0].details["outcome"] == "overtaken"
        again = asking.approve("route", 2, reason="ok", actor="cyd")
        assert (again.outcome, again.repeated) == ("overtaken", True)
        # Nothing is stuck: a person may still put it there, knowing what runs now.
        moved = asking.move_channel("route", "production", 2, expected_version=2, reason="yes")
        assert moved.release == 2

    def test_one_that_is_decided_on_a_channel_that_moved_is_not_even_made(
        self, asking: Ledger
    ) -> None:
        ruled = some_task(approvals=1)
        asking.save_task(ruled, task_digest(ruled))
        with pytest.raises(ConflictError):
            asking.conclude(some_contest(3, task=ruled), expected_version=0, actor="ann")
        assert len(asking.releases("route")) == 2

    def test_where_none_is_needed_none_is_taken(self, routed: Ledger, released: Released) -> None:
        released(routed, 1, 0)
        with pytest.raises(InputError, match="needs no approval"):
            routed.approve("route", 1, reason="ok", actor="ben")
        with pytest.raises(UnknownNameError, match="release '4'"):
            routed.approve("route", 4, reason="ok", actor="ben")
        assert routed.approvals("route", 1).needed == 0

    def test_the_first_release_of_all_can_wait(self, ledger: Ledger) -> None:
        ruled = some_task(approvals=1)
        ledger.save_task(ruled, task_digest(ruled))
        ledger.conclude(some_contest(1, task=ruled), expected_version=0, actor="ann")
        assert ledger.channel("route") is None
        came = ledger.approve("route", 1, reason="ok", actor="ben")
        assert came.outcome == "live"
        assert self.runs(ledger) == (1, 1)

    def test_of_many_at_once_one_is_the_last(self, asking: Ledger) -> None:
        def approve(actor: str) -> str:
            try:
                return asking.approve("route", 2, reason="ok", actor=actor).outcome
            except InputError:
                return "refused"

        with ThreadPoolExecutor(8) as pool:
            outcomes = sorted(pool.map(approve, [f"person{i}" for i in range(8)]))
        assert outcomes == ["live", *["refused"] * 6, "waiting"]
        assert self.runs(asking) == (2, 2)
        assert len(asking.audit(action="release.approved")) == 2

    def test_states_of_many(self, asking: Ledger) -> None:
        asking.approve("route", 2, reason="ok", actor="ben")
        states = asking.approval_states("route", [1, 2])
        assert [(s.needed, len(s.approvals), s.lacking) for s in states.values()] == [
            (2, 0, 2),
            (2, 1, 1),
        ]
        assert states[2].approvals[0].reason == "ok"
        assert asking.approval_states("route", []) == {}
