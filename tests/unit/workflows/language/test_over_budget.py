"""When a budget allows nothing more: what is told, and when to come again."""

from datetime import UTC, datetime, timedelta

import pytest

from milepost.entities.money import Budget, Period
from milepost.workflows.language.pools import GIVEN_BACK_S, over_budget

NOW = datetime(2026, 12, 30, 23, 59, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("period", "again"),
    [("day", timedelta(minutes=1)), ("month", timedelta(days=1, minutes=1)), ("total", None)],
)
def test_one_may_come_again_when_the_period_begins_anew(
    period: Period, again: timedelta | None
) -> None:
    error = over_budget(
        Budget(scope="key:k1", micro_usd=1_000_000, period=period, spent=999_000), 5_000, NOW
    )
    assert error.retry_after == (None if again is None else again.total_seconds())
    assert "$0.001 left" in error.what
    assert ("begins anew on" in error.what) == (again is not None)


def test_what_is_reserved_may_come_back_soon() -> None:
    budget = Budget(scope="key:k1", micro_usd=10_000, period="month", spent=1_000, reserved=8_000)
    error = over_budget(budget, 5_000, NOW)
    assert error.retry_after == GIVEN_BACK_S
    assert "may give back" in error.what


def test_a_call_that_costs_more_than_the_whole_budget_never_comes_again() -> None:
    budget = Budget(scope="key:k1", micro_usd=10_000, period="day")
    assert over_budget(budget, 10_001, NOW).retry_after is None
