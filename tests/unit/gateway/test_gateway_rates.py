"""How many inputs a key may send per second."""

import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.entities.errors import OverloadedError
from milepost.gateway.rates import BYTES, Rates


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_second_at_once_then_the_rate():
    clock = Clock()
    rates = Rates(clock=clock)
    for _ in range(10):
        rates.take("k00000000000a", 1, 10.0)
    with pytest.raises(OverloadedError) as caught:
        rates.take("k00000000000a", 1, 10.0)
    assert caught.value.own
    assert caught.value.retry_after >= 1
    rates.take("k00000000000b", 1, 10.0)
    clock.now += 0.11
    rates.take("k00000000000a", 1, 10.0)


def test_a_large_request_is_paid_off():
    clock = Clock()
    rates = Rates(clock=clock)
    rates.take("k1", 100, 10.0)
    clock.now += 8.9
    with pytest.raises(OverloadedError):
        rates.take("k1", 1, 10.0)
    clock.now += 0.2
    rates.take("k1", 1, 10.0)


def test_workers_count_together():
    with tempfile.TemporaryFile() as file:
        file.truncate(BYTES)
        clock = Clock()
        one, other = (Rates(file.fileno(), clock) for _ in range(2))
        for _ in range(5):
            one.take("kff", 1, 10.0)
            other.take("kff", 1, 10.0)
        for each in (one, other):
            with pytest.raises(OverloadedError):
                each.take("kff", 1, 10.0)


@given(
    st.floats(0.5, 1000.0),
    st.lists(st.tuples(st.floats(0.0, 2.0), st.integers(1, 50)), min_size=1, max_size=60),
)
def test_never_more_than_the_rate_allows(per_second, asked):
    clock = Clock()
    rates = Rates(clock=clock)
    begin, sent, last = clock.now, 0, 0
    for pause, inputs in asked:
        clock.now += pause
        try:
            rates.take("k7", inputs, per_second)
        except OverloadedError:
            continue
        sent, last = sent + inputs, inputs
    # What it may send in the time, a second's worth at once, and the request that ran over.
    assert sent - last <= per_second * (clock.now - begin + 1.0) * (1 + 1e-9) + 1e-6
