import asyncio
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.entities.errors import UnreachableError, UpstreamError
from milepost.entities.language import Completion
from milepost.entities.model_calls import KeptAnswer
from milepost.entities.upstream import Endpoint
from milepost.models.language.asking import Answered, Terms
from milepost.models.language.caching.exact import Cached
from milepost.models.language.caching.stores import (
    LedgerAnswers,
    MemoryAnswers,
    NearAnswers,
)
from milepost.models.language.inside.fake import Fake, fake_upstream

TASK = Terms(task="route")


def cached(stage: Any, model: Any, **options: Any) -> Cached:
    answers = options.pop("answers", None) or MemoryAnswers(clock=stage.now)
    return Cached(model, answers, clock=stage.now, **options)


def one_second(_: int) -> tuple[float, str]:
    return 1.0, "ok"


async def outcome(model: Any, request: Any, terms: Terms = TASK) -> Answered:
    try:
        return await model.complete(request, terms)
    except UpstreamError as error:
        return error


def test_the_same_question_costs_once_for_each_scope(stage: Any) -> None:
    model = stage.Scripted(stage.row(), one_second)

    async def trial() -> None:
        whole = cached(stage, model)
        first = await whole.complete(stage.asked("x"), TASK)
        again = await whole.complete(stage.asked("x"), TASK)
        assert (first.cached, first.micro_usd) == ("", 10)
        assert (again.cached, again.micro_usd, again.text) == ("exact", 0, first.text)
        assert again.tokens == first.tokens, "a client still sees what the answer takes"
        assert await whole.holds(stage.asked("x"), TASK)
        for other in (Terms(), Terms(key="k1"), Terms(key="k2"), Terms(task="other", key="k1")):
            assert not await whole.holds(stage.asked("x"), other)
            assert (await whole.complete(stage.asked("x"), other)).cached == ""
        assert len(model.sent) == 5
        await whole.complete(stage.asked("x"), Terms(task="route", cache=False))
        await whole.complete(stage.asked("x", stop=("y",)), TASK)
        assert len(model.sent) == 7

    stage.run(trial())


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"temperature": 0.7}, False),
        ({"temperature": None}, False),
        ({"temperature": 0.7, "seed": 3}, True),
        ({"temperature": 0.0}, True),
    ],
)
def test_samples_are_not_kept_without_a_seed(
    stage: Any, fields: dict[str, Any], kept: bool
) -> None:
    model = stage.Scripted(stage.row(), one_second)

    async def trial() -> None:
        whole = cached(stage, model)
        for _ in range(2):
            await whole.complete(stage.asked("x", **fields), TASK)

    stage.run(trial())
    assert len(model.sent) == (1 if kept else 2)


def test_another_model_or_place_is_asked_anew_and_answers_grow_old(stage: Any) -> None:
    async def trial() -> None:
        answers = MemoryAnswers(clock=stage.now)
        row = stage.row()
        there = (Endpoint(base_url="https://elsewhere.example/v1"),)
        for upstream in (
            row,
            msgspec.structs.replace(row, model="m2"),
            msgspec.structs.replace(row, endpoints=there),
        ):
            model = stage.Scripted(upstream, one_second)
            await cached(stage, model, answers=answers).complete(stage.asked("x"), TASK)
            assert len(model.sent) == 1
        model = stage.Scripted(msgspec.structs.replace(row, name="renamed", at_once=2), one_second)
        whole = cached(stage, model, answers=answers, kept_s=60.0)
        assert (await whole.complete(stage.asked("x"), TASK)).cached == "exact"
        await whole.complete(stage.asked("y"), TASK)
        await asyncio.sleep(59.0)
        assert await whole.holds(stage.asked("y"), TASK)
        await asyncio.sleep(1.0)
        assert not await whole.holds(stage.asked("y"), TASK)

    stage.run(trial())


def test_failures_are_shared_by_those_who_wait_but_not_kept(stage: Any) -> None:
    model = stage.Scripted(stage.row(), lambda n: (1.0, "ok" if n else "bad_request"))

    async def trial() -> None:
        whole = cached(stage, model)
        found = await asyncio.gather(*[outcome(whole, stage.asked("x")) for _ in range(3)])
        assert [getattr(answer, "outcome", None) for answer in found] == ["bad_request"] * 3
        assert sum(answer.micro_usd for answer in found) == 10, "paid for once"
        assert isinstance(await outcome(whole, stage.asked("x")), Completion)

    stage.run(trial())


def test_who_waits_keeps_its_own_deadline_and_asks_when_the_first_caller_ran_out_of_time(
    stage: Any,
) -> None:
    model = stage.Scripted(stage.row(), lambda n: (2.0, "ok" if n else "timeout"))

    async def trial() -> None:
        whole = cached(stage, model)
        first = asyncio.create_task(outcome(whole, stage.asked("x")))
        await asyncio.sleep(0.1)
        hurried = asyncio.create_task(
            outcome(whole, stage.asked("x"), Terms(task="route", deadline=1.0))
        )
        patient = asyncio.create_task(outcome(whole, stage.asked("x")))
        late = await hurried
        assert (getattr(late, "outcome", None), stage.now()) == ("timeout", 1.0)
        assert getattr(await first, "outcome", None) == "timeout"
        assert isinstance(await patient, Completion)
        assert len(model.sent) == 2

    stage.run(trial())


@given(
    callers=st.lists(
        st.tuples(
            st.floats(0.0, 3.0),
            st.sampled_from(["a", "b"]),
            st.one_of(st.none(), st.floats(0.05, 3.0)),
        ),
        min_size=1,
        max_size=12,
    )
)
@settings(max_examples=150)
def test_an_answer_is_on_its_way_once_whoever_comes_and_goes(
    stage: Any, callers: list[tuple[float, str, float | None]]
) -> None:
    """Each caller comes at a time, asks one of two questions and may leave after some time."""
    models = {text: stage.Scripted(stage.row(), one_second) for text in "ab"}
    flying: dict[str, int] = {"a": 0, "b": 0}

    class Both:
        upstream = stage.row()

        async def complete(self, request: Any, terms: Terms) -> Completion:
            text = request.messages[0].content
            flying[text] += 1
            assert flying[text] == 1, "asked twice at a time"
            try:
                return await models[text].complete(request, terms)
            finally:
                flying[text] -= 1

        async def close(self) -> None:
            pass

    async def trial() -> None:
        whole = cached(stage, Both())

        async def caller(at: float, text: str, patience: float | None) -> Answered | None:
            await asyncio.sleep(at)
            call = asyncio.create_task(outcome(whole, stage.asked(text)))
            await asyncio.wait({call}, timeout=patience)
            if call.done():
                return call.result()
            call.cancel()
            await asyncio.wait({call})
            return None

        found = await asyncio.gather(*[caller(*one) for one in callers])
        for (_, _, patience), answer in zip(callers, found, strict=True):
            if patience is None:
                assert isinstance(answer, Completion), "who stays is answered"
            if answer is not None:
                assert isinstance(answer, Completion)
                assert (answer.cached == "") == (answer.micro_usd == 10)
        for text, model in models.items():
            whole_ones = len(model.sent) - model.cancelled
            assert whole_ones <= 1, "answered once, then known"
            paid = [
                a
                for (_, t, _), a in zip(callers, found, strict=True)
                if t == text and a is not None and a.micro_usd
            ]
            assert len(paid) <= 1
        await whole.close()
        assert len(asyncio.all_tasks()) == 1, "nothing is left behind"

    stage.run(trial())


def test_a_stream_is_kept_when_it_is_whole_and_comes_as_one_piece_then(stage: Any) -> None:
    model = stage.Scripted(stage.row(), one_second, pieces=2)

    async def trial() -> None:
        whole = cached(stage, model)
        left = whole.stream(stage.asked("x"), TASK)
        await anext(left)
        await left.aclose()
        got = [piece async for piece in whole.stream(stage.asked("x"), TASK)]
        assert len(got) == 3
        (piece,) = [piece async for piece in whole.stream(stage.asked("x"), TASK)]
        assert piece.whole is not None
        assert (piece.text, piece.whole.cached) == (got[-1].text, "exact")
        assert (await whole.complete(stage.asked("x"), TASK)).cached == "exact"
        assert len(model.sent) == 1

    stage.run(trial())


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from("abcdefghijklmnopqrstuvwxyz"), st.integers(0, 4000), st.booleans()
        ),
        max_size=60,
    )
)
def test_memory_holds_no_more_bytes_than_it_may_and_what_was_used_last(
    stage: Any, steps: list[tuple[str, int, bool]]
) -> None:
    async def trial() -> None:
        answers = MemoryAnswers(most=40_000, clock=stage.now)
        used: list[str] = []
        for key, size, keep in steps:
            if keep:
                answer = Completion(text="x" * size)
                await answers.keep("s", key, "big", answer, 60.0)
                found = await answers.answer("s", key)
                assert found == (None if size > 2_200 else found if size > 1_700 else answer)
                assert found in (answer, None), "an older answer never comes back"
            else:
                found = await answers.answer("s", key)
            used = [other for other in used if other != key]
            used += [key] if found is not None else []
            assert 0 <= answers.bytes <= 40_000
        held = [key for key in used if await answers.answer("s", key) is not None]
        assert held == used[len(used) - len(held) :], "those not used for longest went first"

    stage.run(trial())


class Ledger:
    """The two methods of a ledger, over a dict."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], tuple[str, bytes, datetime]] = {}
        self.reads = self.writes = 0
        self.down = False
        self.open = threading.Event()
        self.open.set()

    def model_answers(
        self, wanted: Iterable[tuple[str, str]], now: datetime
    ) -> dict[tuple[str, str], bytes]:
        self.reads += 1
        if self.down:
            raise UnreachableError("nobody there.")
        rows = {key: self.rows[key] for key in wanted if key in self.rows}
        return {key: answer for key, (_, answer, expires) in rows.items() if now < expires}

    def keep_model_answers(self, answers: Iterable[KeptAnswer], now: datetime) -> None:
        self.writes += 1
        if self.down:
            raise UnreachableError("nobody there.")
        self.open.wait()
        for each in answers:
            assert each.expires is not None
            self.rows[each.scope, each.digest] = (each.upstream, each.answer, each.expires)


def test_the_ledger_answers_for_later_processes_and_is_not_read_twice() -> None:
    ledger = Ledger()
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    answer = Completion(text="yes", micro_usd=3, upstream="big")

    def store() -> NearAnswers:
        return NearAnswers(MemoryAnswers(), LedgerAnswers(ledger, lambda: moment))

    async def first() -> None:
        await store().keep("s", "d", "big", answer, 86_400.0)

    async def later() -> None:
        kept = store()
        assert await kept.answer("s", "d") == answer
        reads = ledger.reads
        assert await kept.answer("s", "d") == answer
        assert ledger.reads == reads
        assert await kept.answer("other", "d") is None

    asyncio.run(first())
    asyncio.run(later())
    ((name, _, expires),) = ledger.rows.values()
    assert (name, (expires - moment).total_seconds()) == ("big", 86_400.0)
    ledger.down = True
    asyncio.run(store().keep("s", "e", "big", answer, 60.0))
    assert asyncio.run(store().answer("s", "d")) is None, "asked anew while it cannot be read"
    ledger.down = False
    ledger.rows["s", "d"] = ("big", b"{", expires)
    assert asyncio.run(LedgerAnswers(ledger, lambda: moment).answer("s", "d")) is None


def test_answers_are_kept_together_and_none_is_said_to_be_kept_before_it_is() -> None:
    ledger = Ledger()
    store = LedgerAnswers(ledger)

    async def keep(digest: str) -> None:
        await store.keep("s", digest, "big", Completion(text=digest), 60.0)
        assert ("s", digest) in ledger.rows

    async def trial() -> None:
        ledger.open.clear()
        waiting = [asyncio.create_task(keep(str(at))) for at in range(100)]
        while not ledger.writes:
            await asyncio.sleep(0)
        waiting[0].cancel()
        waiting[99].cancel()
        ledger.open.set()
        await asyncio.gather(*waiting[1:99])
        await store.settled()
        assert len(ledger.rows) == 100, "what was paid for is kept, whoever has gone"
        found = await asyncio.gather(*(store.answer("s", str(at)) for at in range(100)))
        assert [each and each.text for each in found] == [str(at) for at in range(100)]

    asyncio.run(trial())
    assert ledger.writes == 2, "the first alone, then all that came meanwhile"
    assert ledger.reads == 2


def test_a_ledger_that_hangs_holds_up_nobody_who_has_a_deadline(stage: Any) -> None:
    ledger = Ledger()
    ledger.open.clear()

    async def trial() -> None:
        whole = Cached(Fake(fake_upstream(base_url="fake:?says=yes")), LedgerAnswers(ledger))
        terms = Terms(task="route", deadline=time.monotonic() + 0.2)
        assert (await whole.complete(stage.asked("x"), terms)).text == "yes"
        assert ledger.writes == 1
        assert not ledger.rows
        ledger.open.set()

    asyncio.run(trial())
