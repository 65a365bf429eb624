"""Who is let in, and when."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost._base.limits import Limits
from milepost.entities.errors import LateError, OverloadedError
from milepost.gateway.admission import Admission

LIMITS = Limits(at_once_least=4, at_once_most=4, waiting=1000)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_what_fits_enters_at_once():
    async def run() -> None:
        admission = Admission(LIMITS)
        assert all(admission.enters(1) for _ in range(4))
        assert not admission.enters(1)
        admission.leave(1, 0.001)
        assert admission.enters(1)

    asyncio.run(run())


def test_a_request_larger_than_the_limit_enters_when_nobody_is_inside():
    async def run() -> None:
        admission = Admission(LIMITS)
        assert admission.enters(500)
        assert not admission.enters(1)
        admission.leave(500, 0.1)
        assert admission.inside == 0

    asyncio.run(run())


def test_one_greedy_key_does_not_starve_another():
    """Of the first 20 turns after a thousand requests of one key, the other's ten all come."""

    async def run() -> None:
        admission = Admission(LIMITS)
        turns: list[str] = []

        async def ask(key: str) -> None:
            await admission.wait(key, 32, None)
            turns.append(key)
            await asyncio.sleep(0)
            admission.leave(32, 0.01)

        assert admission.enters(4)
        greedy = [asyncio.create_task(ask("greedy")) for _ in range(20)]
        await settle()
        modest = [asyncio.create_task(ask("modest")) for _ in range(10)]
        await settle()
        admission.leave(4, 0.01)
        await asyncio.gather(*greedy, *modest)
        assert turns[:20].count("modest") >= 9
        assert turns.count("greedy") == 20
        assert admission.inside == 0
        assert admission.waiting == 0
        assert admission.inside == 0

    asyncio.run(run())


def test_shares_are_of_inputs_and_not_of_requests():
    async def run() -> None:
        admission = Admission(Limits(at_once_least=64, at_once_most=64, waiting=100_000))
        sent = {"large": 0, "small": 0}

        async def ask(key: str, cost: int) -> None:
            await admission.wait(key, cost, None)
            if min(sent.values()) < 2000:
                sent[key] += cost
            await asyncio.sleep(0)
            admission.leave(cost, 0.01)

        assert admission.enters(64)
        asked = [asyncio.create_task(ask("large", 60)) for _ in range(100)]
        asked += [asyncio.create_task(ask("small", 2)) for _ in range(3000)]
        await settle()
        admission.leave(64, 0.01)
        await asyncio.gather(*asked)
        assert abs(sent["large"] - sent["small"]) < 400

    asyncio.run(run())


def test_the_longest_queue_loses_its_newest():
    async def run() -> None:
        admission = Admission(Limits(at_once_least=4, at_once_most=4, waiting=10))
        assert admission.enters(4)
        greedy = [asyncio.create_task(admission.wait("greedy", 1, None)) for _ in range(10)]
        await settle()
        modest = asyncio.create_task(admission.wait("modest", 1, None))
        await settle()
        assert not modest.done()
        assert greedy[-1].done()
        with pytest.raises(OverloadedError) as caught:
            greedy[-1].result()
        assert caught.value.own
        admission.leave(4, 0.01)
        for _ in range(8):
            await settle()
            admission.leave(1, 0.01)
        await settle()
        assert modest.done()
        for task in greedy:
            task.cancel()
        await asyncio.gather(*greedy, return_exceptions=True)
        assert admission.waiting == 0

    asyncio.run(run())


def test_alone_it_is_everybody_who_is_too_much():
    async def run() -> None:
        admission = Admission(Limits(at_once_least=4, at_once_most=4, waiting=2))
        assert admission.enters(4)
        waiting = [asyncio.create_task(admission.wait("k", 1, None)) for _ in range(3)]
        await settle()
        with pytest.raises(OverloadedError) as caught:
            waiting[-1].result()
        assert not caught.value.own
        admission.leave(4, 0.01)
        await asyncio.gather(*waiting[:2])

    asyncio.run(run())


def test_a_deadline_ends_the_wait():
    async def run() -> None:
        admission = Admission(LIMITS)
        assert admission.enters(4)
        with pytest.raises(LateError):
            await admission.wait("k", 1, 0.0)
        assert admission.waiting == 0
        admission.leave(4, 0.01)
        assert admission.enters(4)

    asyncio.run(run())


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def answered(admission: Admission, clock: Clock, seconds: float, rounds: int) -> None:
    """Rounds in which all that fits is asked at once, and answered after so long."""
    for _ in range(rounds):
        n = 0
        while n < 10_000 and admission.enters(1):
            n += 1
        clock.now += max(seconds, 0.25)
        for _ in range(n):
            admission.leave(1, seconds)


def test_the_limit_falls_while_answers_are_late_and_grows_again():
    clock = Clock()
    limits = Limits(at_once_least=8, at_once_most=512, latency_target=0.1)
    admission = Admission(limits, clock)
    answered(admission, clock, 1.0, 200)
    assert admission.at_once == 8
    answered(admission, clock, 0.01, 200)
    assert admission.at_once == 512


def test_the_limit_does_not_grow_where_it_is_not_used():
    clock = Clock()
    admission = Admission(Limits(at_once_least=8, at_once_most=512), clock)
    before = admission.at_once
    for _ in range(100):
        assert admission.enters(1)
        clock.now += 0.1
        admission.leave(1, 0.01)
    assert admission.at_once == before


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 90)), max_size=60),
    st.integers(1, 64),
    st.integers(1, 300),
    st.randoms(use_true_random=False),
)
def test_nobody_is_forgotten(asked, at_once, waiting, chance: random.Random):
    """Everybody is let in, refused or cancelled; nothing is left behind; the limit is kept."""

    async def run() -> None:
        limits = Limits(at_once_least=at_once, at_once_most=at_once, waiting=waiting)
        admission = Admission(limits)

        async def ask(key: str, cost: int) -> None:
            if not admission.enters(cost):
                await admission.wait(key, cost, None)
            try:
                assert admission.inside <= max(at_once, cost)
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
            finally:
                admission.leave(cost, 0.01)

        tasks = [asyncio.create_task(ask(key, cost)) for key, cost in asked]
        for task in tasks:
            if chance.random() < 0.2:
                await asyncio.sleep(0)
                task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        wrong = [e for e in done if e is not None
                 and not isinstance(e, OverloadedError | asyncio.CancelledError)]  # fmt: skip
        assert wrong == []
        assert admission.waiting == 0
        assert admission.inside == 0

    asyncio.run(run())
