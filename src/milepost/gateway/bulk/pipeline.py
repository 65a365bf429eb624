"""Rows to answers in their order, many under way at once and never more than a window of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from milepost.entities.errors import InputError, MilepostError, OverloadedError, UnknownNameError
from milepost.entities.serving import Answer, Answers
from milepost.gateway.bulk.rows import Row, Rows
from milepost.gateway.errors import RefusedError

BATCH_ROWS = 64
"""Most rows that are asked about together."""

BATCH_CHARS = 262_144
"""Most characters that are asked about together, unless one row has more."""

WINDOW = 16
"""Batches that are under way, or answered and not taken yet; more are not read."""

PATIENCE = 60.0
"""Seconds for which rows that are turned away for want of room are asked again."""

AskThese = Callable[[tuple[str, ...]], Awaitable[Answers]]


@dataclass(frozen=True, slots=True, eq=False)
class AnsweredRow:
    """A row with what came of it: an answer of a release, or an error."""

    row: Row
    answer: Answer | None = None
    release: int | None = None
    error: MilepostError | None = None


async def answered(
    rows: Rows, ask: AskThese, together: int = BATCH_ROWS
) -> AsyncIterator[list[AnsweredRow]]:
    """Rows with their answers, in order, as they come.

    Args:
        rows: What is asked about, some rows at a time; what arrived together is not held back to
            wait for more.
        ask: Asks about at most ``together`` texts.
        together: Most rows that are asked about together.

    Raises:
        MilepostError: What reading the rows raises, after all rows before it.
        Exception: What ``ask`` raises that is no ``MilepostError``.
    """
    window: asyncio.Queue[asyncio.Task[list[AnsweredRow]] | None] = asyncio.Queue(WINDOW)

    async def read() -> None:
        try:
            async for some in rows:
                for batch in _batches(some, together):
                    task = asyncio.create_task(_answer(batch, ask))
                    try:
                        await window.put(task)
                    except asyncio.CancelledError:
                        task.cancel()
                        raise
        finally:
            # Room for the end is made by whoever takes; after a cancellation nobody does.
            if not reader.cancelling():
                await window.put(None)

    reader = asyncio.create_task(read())
    try:
        while (task := await window.get()) is not None:
            yield await task
        await reader
    finally:
        reader.cancel()
        while not window.empty():
            left = window.get_nowait()
            if left is not None:
                left.cancel()


def _batches(rows: Sequence[Row], together: int) -> Iterator[list[Row]]:
    batch: list[Row] = []
    chars = 0
    for row in rows:
        size = len(row.text or "")
        if batch and (len(batch) >= together or chars + size > BATCH_CHARS):
            yield batch
            batch, chars = [], 0
        batch.append(row)
        chars += size
    if batch:
        yield batch


async def _answer(batch: Sequence[Row], ask: AskThese) -> list[AnsweredRow]:
    good = [row for row in batch if row.error is None and row.text is not None]
    said = iter(await _ask(good, ask) if good else [])
    return [
        AnsweredRow(row, error=row.error) if row.error is not None else next(said) for row in batch
    ]


async def _ask(rows: Sequence[Row], ask: AskThese) -> list[AnsweredRow]:
    try:
        answers = await _patiently(tuple(row.text or "" for row in rows), ask)
    except (InputError, RefusedError) as error:
        if isinstance(error, UnknownNameError):  # a release, which is asked for all of them
            return [AnsweredRow(row, error=error) for row in rows]
        if len(rows) == 1:
            return [AnsweredRow(rows[0], error=error)]
        # One of them is to blame: alone, each gets what is its own.
        return [each for row in rows for each in await _ask([row], ask)]
    except MilepostError as error:
        return [AnsweredRow(row, error=error) for row in rows]
    pairs = zip(rows, answers.predictions, strict=True)
    return [AnsweredRow(row, answer, answers.release) for row, answer in pairs]


async def _patiently(texts: tuple[str, ...], ask: AskThese) -> Answers:
    """Ask, and ask again while there is no room: whoever sends many rows can wait."""
    loop = asyncio.get_running_loop()
    until = loop.time() + PATIENCE
    while True:
        try:
            return await ask(texts)
        except OverloadedError as error:
            if loop.time() + error.retry_after > until:
                raise
            await asyncio.sleep(error.retry_after)
