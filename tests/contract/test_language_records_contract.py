"""Upstreams, budgets, calls and kept answers: one suite over every kind of ledger."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from milepost.entities.errors import ConflictError, InputError, UnknownNameError
from milepost.entities.language import Tokens
from milepost.entities.model_calls import KeptAnswer
from milepost.entities.money import window_of
from milepost.storage.ledger import Ledger
from milepost.testing.records import START, chained, some_call, some_digest, some_upstream

LATER = START + timedelta(hours=1)


class Set:
    """A clock that stands until it is set."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def timed(ledger: Ledger) -> tuple[Ledger, Set]:
    clock = Set()
    ledger.clock = clock
    return ledger, clock


def state(ledger: Ledger, scope: str = "workspace") -> tuple[int, int]:
    """What is spent and reserved."""
    found = {budget.scope: budget for budget in ledger.budgets()}[scope]
    return found.spent, found.reserved


def test_an_upstream_is_what_was_added_last_and_all_versions_stay(ledger: Ledger) -> None:
    first, second = some_upstream(), some_upstream(price=3_000_000)
    assert ledger.add_upstream(first, reason="new", actor="ann").number == 1
    assert ledger.add_upstream(first, reason="again").number == 1
    with pytest.raises(ConflictError, match="another one"):
        ledger.add_upstream(second, reason="slip")
    assert ledger.upstream("big") == first
    assert ledger.add_upstream(second, reason="dearer", actor="ben", replace=True).number == 2
    assert ledger.upstreams() == (second,)
    assert ledger.remove_upstream("big", reason="gone").upstream is None
    assert ledger.upstreams() == ()
    with pytest.raises(UnknownNameError, match="no upstream 'big'"):
        ledger.upstream("big")
    with pytest.raises(UnknownNameError):
        ledger.remove_upstream("big", reason="twice")
    ledger.add_upstream(first, reason="back")
    versions = ledger.upstream_versions("big")
    assert [each.upstream for each in versions] == [first, second, None, first]
    assert [each.number for each in versions] == [1, 2, 3, 4]
    acts = [entry.action for entry in reversed(ledger.audit(subject="big"))]
    assert acts == [f"upstream.{act}" for act in ("added", "changed", "removed", "added")]
    assert chained(ledger)


def test_the_nearest_upstream_is_offered_and_a_removed_one_is_not(ledger: Ledger) -> None:
    for name in ("big", "bigger", "small"):
        ledger.add_upstream(some_upstream(name), reason="new")
    ledger.remove_upstream("big", reason="gone")
    with pytest.raises(UnknownNameError, match="Did you mean 'bigger'") as caught:
        ledger.upstream("big")
    assert caught.value.allowed == ("bigger", "small")


def test_all_scopes_are_reserved_or_none(ledger: Ledger) -> None:
    ledger.set_budget("workspace", 100, reason="some")
    ledger.set_budget("task:route", 30, reason="less")
    both = {"workspace": 20, "task:route": 20, "key:none": 20}
    assert ledger.reserve("a", both, LATER).lacking is None
    assert state(ledger) == state(ledger, "task:route") == (0, 20)
    refused = ledger.reserve("b", both, LATER)
    assert refused.lacking == "task:route"
    assert refused.budgets["task:route"].left == 10
    assert set(refused.budgets) == {"workspace", "task:route"}
    assert state(ledger) == (0, 20)
    assert ledger.reserve("b", {"workspace": 80}, LATER).lacking is None
    assert ledger.reserve("b", {"workspace": 1}, LATER).lacking == "workspace"


def test_what_was_reserved_is_spent_or_given_back(ledger: Ledger) -> None:
    ledger.set_budget("workspace", 100, reason="some")
    ledger.set_budget("task:route", 100, reason="some")
    ledger.reserve("a", {"workspace": 60, "task:route": 60}, LATER)
    call = some_call(1, micro_usd=25)
    assert ledger.settle("a", [call], {"workspace": 40, "task:route": 25}, LATER)
    assert state(ledger) == (25, 20)
    assert state(ledger, "task:route") == (25, 35)
    # The reply was lost, so it is settled again.
    assert ledger.settle("a", [call], {"workspace": 40, "task:route": 25}, LATER)
    assert state(ledger) == (25, 20)
    assert ledger.model_calls() == (call,)
    # One that cost more than was foreseen counts in full, and is never taken from others.
    assert ledger.settle("a", [some_call(2, micro_usd=90, task=None)], {"workspace": 20}, LATER)
    assert state(ledger) == (115, 0)
    assert ledger.reserve("b", {"workspace": 1}, LATER).lacking == "workspace"


def test_what_a_killed_process_held_counts_as_spent(timed: tuple[Ledger, Set]) -> None:
    ledger, clock = timed
    ledger.set_budget("workspace", 100, reason="some")
    until = START + timedelta(seconds=60)
    ledger.reserve("gone", {"workspace": 30}, until)
    ledger.reserve("alive", {"workspace": 30}, until)
    ledger.settle("alive", [], {}, until + timedelta(seconds=60))
    clock.now = START + timedelta(seconds=61)
    assert ledger.expire_reservations() == 1
    assert state(ledger) == (30, 30)
    assert ledger.expire_reservations() == 0
    lost = ledger.audit(action="budget.lost")
    assert [entry.details["micro_usd"] for entry in lost] == [30]
    # It was only asleep: its calls are booked, and not counted twice.
    assert not ledger.settle("gone", [some_call(1, micro_usd=20)], {"workspace": 20}, until)
    assert state(ledger) == (30, 30)
    assert len(ledger.model_calls()) == 1


@pytest.mark.parametrize(("period", "days"), [("day", 1), ("month", 31)])
def test_a_period_begins_anew(timed: tuple[Ledger, Set], period: str, days: int) -> None:
    ledger, clock = timed
    clock.now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    ledger.set_budget("workspace", 100, period=period, reason="some")  # pyright: ignore[reportArgumentType]
    at = clock.now
    ledger.reserve("a", {"workspace": 90}, LATER)
    ledger.settle("a", [some_call(1, at=at, micro_usd=70)], {"workspace": 70}, LATER)
    assert state(ledger) == (70, 20)
    clock.now += timedelta(days=days)
    assert state(ledger) == (0, 20)
    assert ledger.reserve("b", {"workspace": 80}, LATER).lacking is None
    assert ledger.reserve("b", {"workspace": 1}, LATER).lacking == "workspace"
    # A call that ended before counts there, and is over.
    ledger.settle("a", [some_call(2, at=at, micro_usd=15)], {"workspace": 20}, LATER)
    assert state(ledger) == (0, 80)
    # A machine whose clock is behind does not bring the old period back.
    clock.now -= timedelta(days=days)
    ledger.settle("b", [some_call(3, at=at, micro_usd=1)], {"workspace": 1}, LATER)
    assert state(ledger) == (0, 79)


def test_windows_are_those_of_utc() -> None:
    moment = datetime(2026, 3, 31, 23, 30, tzinfo=UTC)
    assert window_of("day", moment) == datetime(2026, 3, 31, tzinfo=UTC)
    assert window_of("month", moment) == datetime(2026, 3, 1, tzinfo=UTC)
    assert window_of("total", moment) < window_of("month", datetime(1999, 1, 1, tzinfo=UTC))


def test_a_budget_that_is_set_late_knows_what_was_spent(timed: tuple[Ledger, Set]) -> None:
    ledger, clock = timed
    clock.now = datetime(2026, 3, 15, tzinfo=UTC)
    days = [datetime(2026, 2, 28, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC), clock.now]
    calls = [
        replace(some_call(n), id=f"m{int(at.timestamp() * 1000):012x}{n:020x}", at=at, micro_usd=10)
        for n, at in enumerate(days)
    ]
    ledger.add_model_calls(calls)
    month = ledger.set_budget("task:route", 100, reason="late")
    assert (month.spent, month.left) == (20, 80)
    assert ledger.set_budget("key:k000000000001", 100, period="day", reason="late").spent == 10
    assert ledger.set_budget("workspace", 100, period="total", reason="late").spent == 30
    # More is allowed, and what was spent stays; another period counts anew.
    assert ledger.set_budget("task:route", 200, reason="more").left == 180
    assert ledger.set_budget("task:route", 200, period="day", reason="a day").spent == 10
    said = ledger.audit(action="budget.set", subject="task:route")[0].details
    assert said == {"micro_usd": 200, "period": "day", "before": 200}


def test_a_budget_that_is_removed_and_set_again_knows_what_is_held(ledger: Ledger) -> None:
    ledger.set_budget("workspace", 100, reason="some")
    ledger.reserve("a", {"workspace": 60}, LATER)
    ledger.remove_budget("workspace", reason="off")
    assert ledger.budgets() == ()
    assert ledger.reserve("b", {"workspace": 60}, LATER).lacking is None
    ledger.set_budget("workspace", 100, reason="on")
    assert ledger.reserve("b", {"workspace": 41}, LATER).lacking == "workspace"
    with pytest.raises(UnknownNameError, match="no budget 'task:x'"):
        ledger.remove_budget("task:x", reason="none")


def test_only_known_scopes_and_amounts_make_a_budget(ledger: Ledger) -> None:
    for scope in ("", "all", "task:", "team:x", "workspace:x", ":x"):
        with pytest.raises(InputError, match="no scope of a budget"):
            ledger.set_budget(scope, 1, reason="slip")
    for amount in (-1, 10**18):
        with pytest.raises(InputError, match="no budget"):
            ledger.set_budget("workspace", amount, reason="slip")
    assert ledger.budgets() == ()


def test_spending_adds_up_in_every_direction(ledger: Ledger) -> None:
    calls = [
        some_call(1, micro_usd=5),
        some_call(2, micro_usd=7, upstream="small", task=None, key=None, outcome="timeout",
                  estimated=7),
        some_call(3, micro_usd=0, cached="exact", tokens=Tokens(), attempts=0),
        some_call(90_000, micro_usd=11, job="j1", priced=False),
    ]  # fmt: skip
    ledger.add_model_calls(calls)
    assert ledger.model_calls() == tuple(reversed(calls))
    for by in ("upstream", "task", "key", "day"):
        groups = ledger.spending(by)
        assert sum(group.micro_usd for group in groups) == 23
        assert sum(group.calls for group in groups) == 4
        assert sum(group.cached for group in groups) == 1
        assert sum(group.failed for group in groups) == 1
        assert sum(group.unpriced for group in groups) == 1
        assert sum(group.estimated for group in groups) == 7
        assert sum((group.tokens for group in groups), Tokens()) == sum(
            (call.tokens for call in calls), Tokens()
        )
    assert [group.name for group in ledger.spending("task")] == ["route", ""]
    days = ["2026-02-01", "2026-02-02"]
    assert [group.name for group in ledger.spending("day")] == days
    february = ledger.spending("day", until=datetime(2026, 2, 1, tzinfo=UTC).date())
    assert [(group.name, group.micro_usd) for group in february] == [("2026-02-01", 12)]
    assert [group.micro_usd for group in ledger.spending(job="j1")] == [11]
    assert ledger.spending(since=datetime(2027, 1, 1, tzinfo=UTC).date()) == ()
    assert ledger.model_calls(upstream="small") == (calls[1],)
    assert ledger.model_calls(limit=1, before=calls[2].id) == (calls[1],)


def test_an_answer_is_given_until_it_expires_and_only_in_its_scope(ledger: Ledger) -> None:
    digest = some_digest("asked")
    route, sort, other = ((scope, digest) for scope in ("task:route", "task:sort", "key:k1"))

    def keep(*answers: tuple[tuple[str, str], bytes, datetime | None]) -> None:
        ledger.keep_model_answers(
            KeptAnswer(scope=s, digest=d, upstream="big", answer=answer, expires=expires)
            for (s, d), answer, expires in answers
        )

    keep((route, b"0", None), (sort, b"1", None), (route, b'{"a": "\xc3\xa4"}', LATER))
    found = ledger.model_answers([route, sort, other], START)
    assert found == {route: b'{"a": "\xc3\xa4"}', sort: b"1"}, "of two for one question the last"
    assert ledger.model_answers([route, sort], LATER) == {sort: b"1"}
    keep((route, b"2", LATER + timedelta(hours=1)))
    assert ledger.model_answers([route], LATER) == {route: b"2"}
    assert ledger.expire_model_answers(LATER) == 0
    assert ledger.expire_model_answers(LATER + timedelta(hours=1)) == 1
    assert ledger.model_answers([route, sort], LATER) == {sort: b"1"}
    assert ledger.model_answers([]) == {}
    keep()
    # More than a statement may have values.
    many = [("w", some_digest(at)) for at in range(1201)]
    keep(*((key, b"3", LATER) for key in many))
    keep(*((key, b"4", LATER) for key in many))
    assert ledger.model_answers(many, START) == dict.fromkeys(many, b"4")
