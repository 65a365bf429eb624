"""Rows are answered in order, in a window, patiently, and each gets what is its own."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.entities.errors import InputError, LateError, OverloadedError, UnknownNameError
from milepost.entities.serving import Answer, Answers, Usage
from milepost.gateway.bulk import pipeline
from milepost.gateway.bulk.pipeline import BATCH_ROWS, WINDOW, answered
from milepost.gateway.bulk.rows import Row


def row(number: int, text: str | None = "x") -> Row:
    error = InputError("no text.") if text is None else None
    return Row(number=number, text=text, data={}, error=error)


def answers(texts) -> Answers:
    predictions = tuple(
        Answer(
            label=text, confidence=1.0, probabilities={}, abstained=False, rung="", guards={},
            trace_id="",
        )
        for text in texts
    )  # fmt: skip
    usage = Usage(inputs=len(predictions))
    return Answers(task="t", release=1, channel="", predictions=predictions, usage=usage)


async def source(*groups):
    for group in groups:
        yield group


async def gathered(rows, ask) -> list:
    return [each async for some in answered(rows, ask) for each in some]


@given(st.lists(st.lists(st.sampled_from(["a", "b", None]), max_size=150), max_size=6))
def test_every_row_comes_back_once_and_in_order(groups):
    number = iter(range(100_000))
    given_rows = [[row(next(number), text) for text in group] for group in groups]
    asked = []

    async def ask(texts):
        asked.append(len(texts))
        await asyncio.sleep(0.0 if len(texts) % 2 else 1e-6)
        return answers(texts)

    found = asyncio.run(gathered(source(*given_rows), ask))
    wanted = [each for group in given_rows for each in group]
    assert [each.row.number for each in found] == [each.number for each in wanted]
    for each in found:
        told = each.answer.label if each.answer else None
        assert told == each.row.text
        assert (each.error is None) == (each.row.text is not None)
    assert max(asked, default=0) <= BATCH_ROWS


def test_no_more_is_read_than_the_window_holds():
    read = 0

    async def endless():
        nonlocal read
        while True:
            read += 1
            yield [row(read)]

    async def ask(texts):
        return answers(texts)

    async def run() -> int:
        stream = answered(endless(), ask)
        await anext(stream)
        for _ in range(1000):
            await asyncio.sleep(0)
        seen = read
        await stream.aclose()
        for _ in range(10):
            await asyncio.sleep(0)
        assert read == seen  # nothing goes on behind the back of a client that left
        return seen

    assert asyncio.run(run()) <= WINDOW + 4


def test_rows_wait_for_room():
    tries = []

    async def ask(texts):
        tries.append(texts)
        if len(tries) < 3:
            raise OverloadedError("full.", retry_after=0.001)
        return answers(texts)

    found = asyncio.run(gathered(source([row(1, "a")]), ask))
    assert [each.answer.label for each in found] == ["a"]
    assert len(tries) == 3


def test_patience_has_an_end(monkeypatch):
    monkeypatch.setattr(pipeline, "PATIENCE", 0.01)

    async def ask(texts):
        raise OverloadedError("full.", retry_after=0.004)

    (found,) = asyncio.run(gathered(source([row(1)]), ask))
    assert isinstance(found.error, OverloadedError)


def test_only_the_row_to_blame_gets_the_error():
    async def ask(texts):
        if "bad" in texts:
            raise InputError("it cannot be read.")
        return answers(texts)

    group = [row(1, "a"), row(2, "bad"), row(3, "c")]
    found = asyncio.run(gathered(source(group), ask))
    assert [each.error is None for each in found] == [True, False, True]


@pytest.mark.parametrize("error", [LateError("late."), UnknownNameError("release", "9", ["1"])])
def test_what_concerns_all_is_said_of_all_and_asked_once(error):
    tries = []

    async def ask(texts):
        tries.append(texts)
        raise error

    found = asyncio.run(gathered(source([row(1), row(2)]), ask))
    assert [each.error for each in found] == [error, error]
    assert len(tries) == 1


def test_what_breaks_the_source_comes_after_the_rows_before_it():
    async def broken():
        yield [row(1, "a")]
        raise InputError("the file ends.")

    async def ask(texts):
        return answers(texts)

    seen = []

    async def run() -> None:
        async for some in answered(broken(), ask):
            seen.extend(some)

    with pytest.raises(InputError):
        asyncio.run(run())
    assert [each.answer.label for each in seen] == ["a"]
