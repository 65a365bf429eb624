"""The one way from any protocol to the service: rights, limits, rates and fair shares."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from milepost._base.limits import Limits
from milepost.entities.errors import LateError, OverloadedError, nearest
from milepost.entities.serving import Answers, Ask, Feedback, ServedTask
from milepost.gateway.access import Caller
from milepost.gateway.admission import Admission
from milepost.gateway.errors import RefusedError
from milepost.gateway.rates import Rates
from milepost.gateway.telemetry import Telemetry
from milepost.serving.asking import Answering, Embedded, Said

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """Where a gate counts.

    Attributes:
        rates: What keys send.
        telemetry: What is answered.
    """

    rates: Rates
    telemetry: Telemetry


class Gate:
    """Lets questions through to the service; used on one event loop.

    Args:
        service: What answers.
        limits: How much is let through.
        most_chars: Longest input, in characters.
        rooms: Where it counts; ``None`` counts for this process alone.
    """

    def __init__(
        self, service: Answering, limits: Limits, most_chars: int, rooms: "Rooms | None" = None
    ) -> None:
        rooms = rooms or Rooms(rates=Rates(), telemetry=Telemetry())
        self.service = rooms.telemetry.watch(service)
        self.limits = limits
        self.most_chars = most_chars
        # A timer costs 5 us: the engine drops what is late by itself, only an answer that somebody
        # waits for no longer than he said must not be waited for.
        self._far = 0.9 * limits.timeout
        self.admission = Admission(limits)
        self.rates = rooms.rates
        self.telemetry = rooms.telemetry
        self.draining = False

    def unready(self) -> str | None:
        """Why no traffic should come here now; ``None`` when it should."""
        return "the server is stopping." if self.draining else self.service.unready()

    async def answer(self, caller: Caller, ask: Ask) -> Answers:
        """Answers of one release to all texts of a request; ``ask.key`` must be the caller's.

        Raises:
            RefusedError: 403 if the caller may not ask the task, 413 if there is too much of it,
                422 if there is nothing.
            MilepostError: As ``Answering.answer``.
        """
        self.check_right(caller, ask.task)
        self.check_texts(ask.texts)
        inputs, deadline = len(ask.texts), ask.deadline
        return await self._asked(caller, inputs, deadline, lambda: self.service.answer(ask))

    async def embed(
        self, caller: Caller, texts: Sequence[str], deadline: float | None = None
    ) -> Embedded:
        """Vectors of texts.

        Raises:
            RefusedError: 413 if there is too much of it, 422 if there is nothing.
            MilepostError: As ``Answering.embed``.
        """
        self.check_texts(texts)
        return await self._asked(
            caller, len(texts), deadline, lambda: self.service.embed(texts, deadline)
        )

    async def feedback(self, caller: Caller, said: Said) -> tuple[Feedback, bool]:
        """Keep what a caller says about an answer; see ``Answering.feedback``."""
        said = Said(
            trace=said.trace,
            label=said.label,
            rating=said.rating,
            comment=said.comment,
            text=said.text,
            key=caller.key,
            tasks=tuple(caller.tasks),
        )
        return await self.service.feedback(said)

    def tasks(self, caller: Caller) -> list[ServedTask]:
        """The tasks that a caller may ask, by name."""
        return [task for task in self.service.tasks() if caller.may_ask(task.name)]

    def task(self, caller: Caller, name: str) -> ServedTask:
        """A task that a caller may ask.

        Raises:
            RefusedError: 403 if the caller may not ask it, whether or not it exists.
            UnknownNameError: If there is no such task.
        """
        self.check_right(caller, name)
        return self.service.task(name)

    def check_right(self, caller: Caller, task: str) -> None:
        """Nothing, if a caller may ask a task.

        Raises:
            RefusedError: 403 if not, whether or not there is such a task.
        """
        if caller.may_ask(task):
            return
        # What this key may see is all that the answer may tell.
        near = nearest(task, caller.tasks)
        allowed = ", ".join(sorted(caller.tasks)[:20])
        raise RefusedError(
            403,
            "no_right",
            f"this key has no right to a task {task[:100]!r}.",
            param="task",
            advice=(f"Did you mean {near!r}? " if near else "") + f"It may ask: {allowed}.",
        )

    def check_texts(self, texts: Sequence[str], param: str = "inputs") -> None:
        """Nothing, if a request may hold these texts.

        Raises:
            RefusedError: 413 or 422 with the limit and what was given.
        """
        if not texts:
            raise RefusedError(
                422, "no_inputs", "there is nothing to answer.", param=param,
                advice="Send at least one input.",
            )  # fmt: skip
        if len(texts) > self.limits.inputs:
            raise RefusedError(
                413,
                "too_many_inputs",
                f"a request may hold at most {self.limits.inputs:,} inputs; "
                f"this one holds {len(texts):,}.",
                param=param,
                advice="Split it, or stream the inputs as NDJSON.",
            )
        most = self.most_chars
        for index, text in enumerate(texts):
            if len(text) > most:
                raise RefusedError(
                    413,
                    "input_too_long",
                    f"an input may have at most {most:,} characters; this one has {len(text):,}.",
                    param=f"{param}[{index}]",
                    advice="Cut it to what matters.",
                )

    async def _asked(
        self,
        caller: Caller,
        inputs: int,
        deadline: float | None,
        ask: Callable[[], Awaitable[T]],
    ) -> T:
        """What is answered when it is the caller's turn, and in time."""
        await self._enter(caller, inputs, deadline)
        began = time.monotonic()
        left = float("inf") if deadline is None else deadline - began
        try:
            if left > self._far:
                return await ask()
            async with asyncio.timeout(left):
                return await ask()
        except TimeoutError:
            raise LateError(
                "the deadline of this request passed before there was an answer.",
                advice="Ask less at once, or allow more time by X-Request-Timeout.",
            ) from None
        except OverloadedError:
            self.admission.overloaded()
            raise
        finally:
            self.admission.leave(inputs, time.monotonic() - began)

    async def _enter(self, caller: Caller, inputs: int, deadline: float | None) -> None:
        """Returns when so many inputs of a caller may go to the engine."""
        if deadline is not None and time.monotonic() > deadline:
            raise LateError("the deadline of this request passed before it was begun.")
        if caller.per_second is not None and caller.key is not None:
            self.rates.take(caller.key, inputs, caller.per_second)
        if not self.admission.enters(inputs):
            await self.admission.wait(caller.key or "", inputs, deadline)
