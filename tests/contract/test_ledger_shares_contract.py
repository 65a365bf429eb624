"""Shares of canary and shadow: one suite for the ledger over SQLite and PostgreSQL."""

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from milepost.entities.errors import ConflictError, InputError
from milepost.entities.release import Channel
from milepost.storage.ledger import Ledger
from milepost.storage.proof.checkpoints import Checkpoints
from milepost.storage.proof.places import LocalPlace
from milepost.storage.proof.verification import verify
from milepost.testing.records import some_task, task_digest

Released = Callable[[Ledger, int, int], int]


@pytest.fixture
def two(routed: Ledger, released: Released) -> Ledger:
    """A task with two releases, the second in production."""
    released(routed, 1, 0)
    released(routed, 2, 1)
    return routed


def point(ledger: Ledger, name: str, to: int, version: int, share: float | None) -> Channel:
    return ledger.move_channel(
        "route", name, to, expected_version=version, reason="try", actor="ann", share=share
    )


class TestShares:
    def test_share_is_kept_with_its_entry(self, two: Ledger) -> None:
        made = point(two, "canary", 1, 0, 0.1)
        assert (made.release, made.previous, made.version, made.share) == (1, None, 1, 0.1)
        assert two.channel("route", "canary") == made
        assert made in two.every_channel()
        entry = two.audit(1)[0]
        assert (entry.action, entry.subject) == ("channel.moved", "route@canary")
        assert entry.details == {"from": None, "to": 1, "version": 1, "share": 0.1}

    def test_share_alone_can_change(self, two: Ledger) -> None:
        point(two, "canary", 1, 0, 0.1)
        grown = point(two, "canary", 1, 1, 0.5)
        assert (grown.release, grown.version, grown.share) == (1, 2, 0.5)
        with pytest.raises(InputError, match="with a share of"):
            point(two, "canary", 1, 2, 0.5)
        with pytest.raises(ConflictError):
            point(two, "canary", 1, 1, 0.9)
        assert two.channel("route", "canary") == grown

    def test_moving_without_a_share_keeps_it(self, two: Ledger) -> None:
        point(two, "shadow", 1, 0, 0.25)
        assert point(two, "shadow", 2, 1, None).share == 0.25

    @pytest.mark.parametrize("share", [-0.01, 1.01, float("nan"), float("inf")])
    def test_what_is_no_share_is_refused(self, two: Ledger, share: float) -> None:
        with pytest.raises(InputError, match="no share"):
            point(two, "canary", 1, 0, share)
        assert two.channel("route", "canary") is None

    def test_production_has_none(self, two: Ledger) -> None:
        with pytest.raises(InputError, match="production has no share"):
            point(two, "production", 1, 2, 0.5)

    def test_promoting_the_canary_ends_it_in_the_same_transaction(self, two: Ledger) -> None:
        point(two, "canary", 1, 0, 0.3)
        point(two, "production", 1, 2, None)
        canary = two.channel("route", "canary")
        assert canary is not None
        assert (canary.release, canary.share, canary.version) == (1, 0.0, 2)
        ended, moved = two.audit(2)
        assert (moved.subject, ended.subject) == ("route@production", "route@canary")
        assert ended.details == {"from": 1, "to": 1, "version": 2, "share": 0.0}

    def test_promoting_another_leaves_the_canary(self, two: Ledger, released: Released) -> None:
        point(two, "canary", 1, 0, 0.3)
        released(two, 3, 2)
        canary = two.channel("route", "canary")
        assert canary is not None
        assert canary.share == 0.3

    def test_canary_needs_the_approvals_that_production_does(self, two: Ledger) -> None:
        strict = some_task(approvals=1)
        two.save_task(strict, task_digest(strict), "ann")
        with pytest.raises(InputError, match="lacks the approval"):
            point(two, "canary", 1, 0, 0.1)
        assert point(two, "shadow", 1, 0, 1.0).share == 1.0
        two.approve("route", 1, reason="fine", actor="ben")
        assert point(two, "canary", 1, 0, 0.1).share == 0.1

    def test_stopping_needs_no_approval(self, two: Ledger) -> None:
        point(two, "canary", 1, 0, 0.1)
        strict = some_task(approvals=1)
        two.save_task(strict, task_digest(strict), "ann")
        assert point(two, "canary", 1, 1, 0.0).share == 0.0

    @pytest.mark.parametrize("share", ["0.9", "NULL"])
    def test_a_share_changed_behind_the_ledger_is_found(
        self, two: Ledger, share: str, tmp_path: Path
    ) -> None:
        point(two, "canary", 1, 0, 0.1)
        checkpoints = Checkpoints(LocalPlace(tmp_path / "checkpoints"))

        def records() -> list[str]:
            found = verify(two.database, checkpoints, set()).findings
            return [each.what for each in found if "channel" in each.what]

        assert records() == []
        with two.database.engine.begin() as connection:
            connection.execute(
                sa.text(f"UPDATE channels SET share = {share} WHERE name = 'canary'")  # noqa: S608
            )
        (found,) = records()
        assert "route@canary is not what entry" in found
        assert "share differ" in found
