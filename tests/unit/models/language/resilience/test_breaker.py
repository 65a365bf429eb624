import random

from hypothesis import given
from hypothesis import strategies as st

from milepost.models.language.resilience.breaker import (
    FAILURES,
    LONGEST_S,
    REST_S,
    Breaker,
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def failing(breaker: Breaker, calls: int) -> None:
    for _ in range(calls):
        breaker.end(breaker.begin(), well=False)


def test_it_opens_after_enough_failures_and_not_while_most_calls_go_well() -> None:
    breaker = Breaker(Clock(), random.Random(0))  # noqa: S311
    failing(breaker, FAILURES - 1)
    assert breaker.ready
    failing(breaker, 1)
    assert not breaker.ready
    breaker = Breaker(Clock(), random.Random(0))  # noqa: S311
    for _ in range(15):
        breaker.end(breaker.begin(), well=True)
    failing(breaker, FAILURES)
    assert breaker.closed, "5 of 20 calls are not half of them"
    failing(breaker, 5)
    assert not breaker.closed


def test_after_its_rest_it_is_probed_by_one_call_at_a_time() -> None:
    clock = Clock()
    breaker = Breaker(clock, random.Random(0))  # noqa: S311
    failing(breaker, FAILURES)
    assert 0.8 * REST_S <= breaker.until <= 1.2 * REST_S
    clock.now = breaker.until
    assert breaker.ready
    probe = breaker.begin()
    assert not breaker.ready, "a second one must wait for the first"
    breaker.end(probe, well=None)
    assert breaker.ready, "a probe that said nothing lets the next one try"
    breaker.end(breaker.begin(), well=True)
    assert breaker.closed


def test_each_probe_that_fails_doubles_the_rest_up_to_a_limit() -> None:
    clock = Clock()
    breaker = Breaker(clock, random.Random(0))  # noqa: S311
    failing(breaker, FAILURES)
    rests = []
    for _ in range(8):
        clock.now = breaker.until
        breaker.end(breaker.begin(), well=False)
        rests.append(breaker.until - clock.now)
    assert 1.6 * REST_S <= rests[0] <= 2.4 * REST_S
    assert all(0.8 * LONGEST_S <= rest <= 1.2 * LONGEST_S for rest in rests[-3:])


def test_what_comes_of_earlier_calls_neither_closes_nor_opens_it() -> None:
    clock = Clock()
    breaker = Breaker(clock, random.Random(0))  # noqa: S311
    early = [breaker.begin() for _ in range(2 * FAILURES)]
    failing(breaker, FAILURES)
    breaker.end(early[0], well=True)
    assert not breaker.closed
    clock.now = breaker.until
    breaker.end(breaker.begin(), well=True)
    for number in early[1:]:
        breaker.end(number, well=False)
    assert breaker.closed


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["begin", "end", "wait"]),
            st.sampled_from([True, False, None]),
            st.integers(0, 30),
        ),
        max_size=120,
    )
)
def test_whatever_happens_an_open_one_lets_one_call_through_at_a_time(
    steps: list[tuple[str, bool | None, int]],
) -> None:
    clock = Clock()
    breaker = Breaker(clock, random.Random(1))  # noqa: S311
    flying: list[int] = []
    probe: int | None = None
    for step, well, number in steps:
        if step == "wait":
            clock.now += number
        elif step == "begin" and breaker.ready:
            was_open = not breaker.closed
            given = breaker.begin()
            if was_open:
                assert probe is None, "two probes at a time"
                probe = given
            flying.append(given)
        elif step == "end" and flying:
            ended = flying.pop(number % len(flying))
            was_closed, until = breaker.closed, breaker.until
            breaker.end(ended, well=well)
            if ended == probe:
                probe = None
                assert breaker.closed is (well is True)
            elif not was_closed:
                assert not breaker.closed, "only a probe closes it"
                assert breaker.until == until, "only a probe makes the rest longer"
        assert breaker.until >= clock.now
        if probe is not None:
            assert not breaker.ready
