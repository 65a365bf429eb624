from hypothesis import given
from hypothesis import strategies as st

from milepost.models.language.resilience.allowance import AT_FIRST, EARNED, MOST, Allowance
from milepost.models.language.resilience.limit import Limit


@given(st.lists(st.booleans(), max_size=400))
def test_no_window_of_first_attempts_has_more_further_ones_than_promised(
    steps: list[bool],
) -> None:
    allowance = Allowance()
    seen = [(0, 0)]
    for further in steps:
        if further:
            allowance.take()
        else:
            allowance.earn()
        seen.append((allowance.first, allowance.further))
    assert allowance.further <= AT_FIRST + EARNED * allowance.first
    for first, taken in seen:
        more = allowance.further - taken
        assert more <= MOST + EARNED * (allowance.first - first) + 1e-6


def test_under_total_failure_calls_are_sent_at_most_1_2_times() -> None:
    allowance = Allowance()
    for _ in range(500):
        allowance.earn()
        while allowance.take():
            pass
    assert 1.15 < (allowance.first + allowance.further) / allowance.first <= 1.2


def test_the_limit_goes_down_once_a_round_and_up_by_one_a_round() -> None:
    limit = Limit(10)
    flying = [limit.begin() for _ in range(10)]
    for number in flying:
        limit.less(number)
    assert limit.calls == 7, "ten refusals of the same round are one"
    limit.less(limit.begin())
    assert limit.calls == 4
    for _ in range(5):
        limit.more(flying=4)
    assert limit.calls == 5
    limit.more(flying=1)
    for _ in range(1000):
        limit.more(flying=10)
    assert limit.calls == 10, "never more than the upstream allows"
    for _ in range(100):
        limit.less(limit.begin())
    assert limit.calls == 1, "never nothing at all"
