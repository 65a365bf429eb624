"""The one way from any protocol to the service: rights, limits, rates and fair shares."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import TypeVar, cast

from milepost._base.limits import Limits
from milepost.entities.errors import LateError, OverloadedError, UnknownNameError, nearest
from milepost.entities.language import Piece, Tokens
from milepost.entities.serving import Answers, Ask, Feedback, ServedTask
from milepost.entities.upstream import Upstream
from milepost.gateway.access import Caller
from milepost.gateway.admission import Admission
from milepost.gateway.errors import RefusedError
from milepost.gateway.rates import Rates
from milepost.gateway.telemetry import Telemetry
from milepost.serving.asking import Answering, Embedded, Said
from milepost.serving.passing.asking import EmbedAsk, PassAsk, Passed

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


FAR_SECONDS = 10.0
"""Deadlines beyond it are looked at once a second: a timer of its own costs a request 5 us."""

SWEEP_SECONDS = 1.0


@dataclass(slots=True, eq=False)
class _Waiting:
    """A task that waits for an answer, and until when."""

    task: "asyncio.Task[object]"
    deadline: float
    late: bool = False


class Deadlines:
    """Breaks off what is late, by one look at all of it per second; used on one event loop.

    The engine drops late work by itself, but not where it never comes to it.
    """

    def __init__(self) -> None:
        self._waiting: set[_Waiting] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def before(self, deadline: float, ask: Callable[[], Awaitable[T]]) -> T:
        """What ``ask`` gives, which the running task waits for.

        Args:
            deadline: ``time.monotonic()`` by which it is broken off, or up to a second later.
            ask: Called once.

        Raises:
            TimeoutError: If it came to that.
        """
        task = cast("asyncio.Task[object]", asyncio.current_task())
        cancelling = task.cancelling()
        entry = _Waiting(task, deadline)
        self._waiting.add(entry)
        if self._loop is not task.get_loop():
            self._sweep()
        try:
            return await ask()
        except asyncio.CancelledError:
            # Somebody else may have cancelled the task as well.
            if entry.late and task.cancelling() - 1 <= cancelling:
                raise TimeoutError from None
            raise
        finally:
            self._waiting.discard(entry)
            if entry.late:
                task.uncancel()

    def _sweep(self) -> None:
        now = time.monotonic()
        for entry in self._waiting:
            if entry.deadline <= now and not entry.late:
                entry.late = True
                entry.task.cancel()
        self._loop = asyncio.get_running_loop() if self._waiting else None
        if self._loop is not None:
            self._loop.call_later(SWEEP_SECONDS, self._sweep)


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
        self._late = Deadlines()
        self.admission = Admission(limits)
        self.rates = rooms.rates
        self.telemetry = rooms.telemetry
        self.draining = False
        self.asking = 0

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
        if ask.protocol == "openai":
            require_one_input(self.service.task(ask.task))
        inputs, deadline = len(ask.texts), ask.deadline
        if self.service.asks(ask.task):
            # Language models take seconds, from which nothing follows for the engine's queue.
            with self._slow(caller, inputs):
                return await self._in_time(deadline, lambda: self.service.answer(ask))
        return await self._asked(caller, inputs, deadline, lambda: self.service.answer(ask))

    async def candidates(
        self, caller: Caller, task: str, queries: Sequence[str], deadline: float | None
    ) -> list[list[str]]:
        """What may answer each query of a task that ranks.

        Raises:
            RefusedError: As :meth:`answer`.
            MilepostError: As ``Answering.candidates``.
        """
        self.check_right(caller, task)
        self.check_texts(queries)
        return await self._in_time(
            deadline, lambda: self.service.candidates(task, queries, deadline)
        )

    async def complete(self, caller: Caller, ask: PassAsk) -> Passed:
        """The whole answer of a language model; ``ask.key`` must be the caller's.

        Raises:
            MilepostError: As ``Passing.complete``, and as ``upstream``.
        """
        self.upstream(caller, ask.upstream)
        with self._slow(caller, 1):
            return await self.service.passing.complete(ask)

    async def stream(self, caller: Caller, ask: PassAsk) -> AsyncGenerator[Piece | Passed]:
        """The same as it comes.

        Raises:
            MilepostError: As ``complete``.
        """
        self.upstream(caller, ask.upstream)
        with self._slow(caller, 1):
            async with aclosing(self.service.passing.stream(ask)) as coming:
                async for piece in coming:
                    yield piece

    async def embed_upstream(
        self, caller: Caller, ask: EmbedAsk
    ) -> tuple[list[list[float]], Tokens]:
        """Vectors of texts from a language model.

        Raises:
            MilepostError: As ``Passing.embed``, and as ``upstream`` and ``check_texts``.
        """
        self.upstream(caller, ask.upstream)
        self.check_texts(ask.texts, "input")
        with self._slow(caller, len(ask.texts)):
            return await self.service.passing.embed(ask)

    def upstreams(self, caller: Caller) -> list[Upstream]:
        """The language models that a caller may ask, by name."""
        return [each for each in self.service.passing.upstreams() if caller.may_pass(each.name)]

    def upstream(self, caller: Caller, name: str) -> Upstream:
        """A language model that a caller may ask.

        Raises:
            UnknownNameError: If there is none that the caller may ask, whether or not it exists.
        """
        if caller.may_pass(name):
            try:
                return self.service.passing.upstream(name)
            except UnknownNameError:
                pass
        raise UnknownNameError("model", name[:100], [each.name for each in self.upstreams(caller)])

    @contextmanager
    def _slow(self, caller: Caller, inputs: int) -> Generator[None]:
        """A place among the requests that wait for language models.

        Raises:
            OverloadedError: If there is none, or the caller sends faster than it may.
        """
        if self.asking >= self.limits.asking:
            raise OverloadedError(f"{self.asking:,} requests wait for language models.")
        if caller.per_second is not None and caller.key is not None:
            self.rates.take(caller.key, inputs, caller.per_second)
        self.asking += 1
        try:
            yield
        finally:
            self.asking -= 1

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
            if not text or text.isspace():
                raise RefusedError(
                    422,
                    "empty_input",
                    "an input is empty.",
                    param=f"{param}[{index}]",
                    advice="Leave it out, or send its text.",
                )
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
        try:
            return await self._in_time(deadline, ask)
        except OverloadedError:
            self.admission.overloaded()
            raise
        finally:
            self.admission.leave(inputs, time.monotonic() - began)

    async def _in_time(self, deadline: float | None, ask: Callable[[], Awaitable[T]]) -> T:
        """What is answered before the deadline."""
        left = None if deadline is None else deadline - time.monotonic()
        try:
            if left is None or deadline is None:
                return await ask()
            if left > FAR_SECONDS:
                return await self._late.before(deadline, ask)
            async with asyncio.timeout(left):
                return await ask()
        except TimeoutError:
            raise LateError(
                "the deadline of this request passed before there was an answer.",
                advice="Ask less at once, or allow more time by X-Request-Timeout.",
            ) from None

    async def _enter(self, caller: Caller, inputs: int, deadline: float | None) -> None:
        """Returns when so many inputs of a caller may go to the engine."""
        if deadline is not None and time.monotonic() > deadline:
            raise LateError("the deadline of this request passed before it was begun.")
        if caller.per_second is not None and caller.key is not None:
            self.rates.take(caller.key, inputs, caller.per_second)
        if not self.admission.enters(inputs):
            await self.admission.wait(caller.key or "", inputs, deadline)


def require_one_input(task: ServedTask) -> None:
    """Refuse a protocol that sends texts, where a task has several inputs and one is not enough.

    Raises:
        RefusedError: 400, naming the inputs and where to send them.
    """
    if task.inputs is None:
        return
    raise RefusedError(
        400,
        "missing_field",
        f"the task {task.name!r} has the inputs {', '.join(task.inputs.names)}, not one text.",
        advice=f"Send objects with these fields to /v1/tasks/{task.name}/predict.",
    )
