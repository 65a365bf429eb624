"""How a predictor asks language models without doing it itself.

A predictor that needs answers yields questions and is sent what came of them, as a generator; who
drives it decides how the asking is done. The predictor stays pure: a contest asks in bulk, a server
on its event loop, a test from a table.
"""

from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from milepost.entities.language import ModelRequest
from milepost.models.language.asking import Answered

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Question:
    """A request to an upstream by its name."""

    upstream: str
    request: ModelRequest


Asking = Generator[Sequence[Question], Sequence[Answered], T]
"""Yields questions, is sent as many answers in their order, returns what it comes to."""

Ask = Callable[[Sequence[Question]], Sequence[Answered]]
AskSoon = Callable[[Sequence[Question]], Awaitable[Sequence[Answered]]]


def drive(asking: Asking[T], ask: Ask) -> T:
    """What the generator comes to, with ``ask`` called for all that it wants to know."""
    try:
        questions = next(asking)
        while True:
            questions = asking.send(ask(questions))
    except StopIteration as end:
        return end.value


async def drive_soon(asking: Asking[T], ask: AskSoon) -> T:
    """The same on an event loop."""
    try:
        questions = next(asking)
        while True:
            questions = asking.send(await ask(questions))
    except StopIteration as end:
        return end.value


def nobody(questions: Sequence[Question]) -> Sequence[Answered]:
    """Answers nothing: for predictors that never ask.

    Raises:
        ValueError: If one does.
    """
    raise ValueError(f"This predictor asks {questions[0].upstream!r}, and nobody is there to ask.")
