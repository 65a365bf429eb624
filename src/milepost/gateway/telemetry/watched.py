"""A service seen from outside: every question by any protocol is counted and gets a span."""

import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from milepost.entities.errors import MilepostError, UpstreamError
from milepost.entities.serving import Answer, Answers, Ask, Feedback, ServedTask
from milepost.gateway.telemetry.passing import WatchedPassing
from milepost.gateway.telemetry.series import MOST_SERIES, SECONDS, SECONDS_SUM, TEXTS, TEXTS_SUM
from milepost.gateway.telemetry.spans import Opened
from milepost.serving.asking import Answering, Embedded, Said, ServedEncoder
from milepost.serving.passing.asking import Passing

if TYPE_CHECKING:
    from milepost.gateway.telemetry.telemetry import Telemetry


class _Places(NamedTuple):
    """Where the numbers are that every answer of a release by one protocol adds to."""

    requests: int
    answered: int
    seconds: int
    inputs: int
    cached: int
    tokens: int
    cost_usd: int


class Watched:
    """Passes everything on to a service; used on its event loop.

    Args:
        inner: The service.
        telemetry: Counts.
    """

    def __init__(self, inner: Answering, telemetry: "Telemetry") -> None:
        self._inner = inner
        self._telemetry = telemetry
        self._known: dict[tuple[str, int, str, str], _Places] = {}
        self._passing = WatchedPassing(inner.passing, telemetry)
        # Asked before each question: not by a detour.
        self.asks = inner.asks

    async def answer(self, ask: Ask) -> Answers:
        """See ``Answering.answer``."""
        began = time.perf_counter()
        spans = self._telemetry.spans
        span = None if spans is None else spans.answering(ask)
        try:
            answers = await self._inner.answer(ask)
        except BaseException as error:
            self._failed(ask, error, span)
            raise
        self._answered(ask, answers, time.perf_counter() - began)
        if span is not None:
            span.answered(ask, answers, self._inner.task(ask.task).recording)
        return answers

    async def candidates(
        self, task: str, queries: Sequence[str], deadline: float | None = None
    ) -> list[list[str]]:
        """See ``Answering.candidates``; the pairs that come of it are counted as they are asked."""
        return await self._inner.candidates(task, queries, deadline)

    async def embed(self, texts: Sequence[str], deadline: float | None = None) -> Embedded:
        """See ``Answering.embed``."""
        spans = self._telemetry.spans
        span = None if spans is None else spans.embedding(len(texts))
        try:
            embedded = await self._inner.embed(texts, deadline)
        except BaseException as error:
            if span is not None:
                span.failed(error)
            raise
        if span is not None:
            span.embedded(embedded)
        return embedded

    def encoder(self) -> ServedEncoder | None:
        """See ``Answering.encoder``."""
        return self._inner.encoder()

    def task(self, name: str) -> ServedTask:
        """See ``Answering.task``."""
        return self._inner.task(name)

    @property
    def passing(self) -> Passing:
        """See ``Answering.passing``."""
        return self._passing

    def tasks(self) -> Sequence[ServedTask]:
        """See ``Answering.tasks``."""
        return self._inner.tasks()

    async def feedback(self, said: Said) -> tuple[Feedback, bool]:
        """See ``Answering.feedback``."""
        kept, new = await self._inner.feedback(said)
        if new:
            self._telemetry.count("milepost_feedback_total", (kept.task,))
        return kept, new

    def unready(self) -> str | None:
        """See ``Answering.unready``."""
        return self._inner.unready()

    def problems(self) -> Mapping[str, str]:
        """See ``Answering.problems``."""
        return self._inner.problems()

    async def close(self, grace: float) -> None:
        """See ``Answering.close``."""
        await self._inner.close(grace)

    def _answered(self, ask: Ask, answers: Answers, seconds: float) -> None:
        usage, answered, places = answers.usage, 0, self._places(ask, answers)
        for answer in answers.predictions:
            if answer.guards or answer.abstained:
                answered += self._plainly(ask.task, answers, answer)
            else:
                answered += 1
        self._telemetry.add(
            (places.requests, 1.0),
            (places.answered, answered),
            (places.seconds + bisect_left(SECONDS, seconds), 1.0),
            (places.seconds + SECONDS_SUM, seconds),
            (places.inputs + bisect_left(TEXTS, usage.inputs), 1.0),
            (places.inputs + TEXTS_SUM, usage.inputs),
            (places.cached, usage.cached),
            (places.tokens, usage.tokens),
            (places.cost_usd, usage.cost_usd),
        )

    def _plainly(self, task: str, answers: Answers, answer: Answer) -> int:
        """Count an answer that was guarded or withheld; 1 if it was given all the same."""
        count = self._telemetry.count
        for guard, verdict in answer.guards.items():
            if verdict.tripped:
                count("milepost_guard_trips_total", (task, guard, verdict.action))
        if answer.rung.startswith("guard:"):
            outcome = "blocked" if answer.label is None else "routed"
        elif answer.abstained:
            outcome = "abstained"
        else:
            return 1
        labels = (task, str(answers.release), answers.channel, outcome)
        count("milepost_answers_total", labels)
        return 0

    def _places(self, ask: Ask, answers: Answers) -> "_Places":
        key = (ask.task, answers.release, answers.channel, ask.protocol)
        places = self._known.get(key)
        if places is None:
            release, task, place = str(answers.release), (ask.task,), self._telemetry.place
            places = _Places(
                place("milepost_requests_total", (*task, release, ask.protocol, "ok")),
                place("milepost_answers_total", (*task, release, answers.channel, "answered")),
                place("milepost_request_seconds", task),
                place("milepost_request_inputs", task),
                place("milepost_cached_answers_total", task),
                place("milepost_tokens_total", task),
                place("milepost_cost_usd_total", task),
            )
            if len(self._known) < MOST_SERIES:
                self._known[key] = places
        return places

    def _failed(self, ask: Ask, error: BaseException, span: Opened | None) -> None:
        # A name that somebody made up must not become a label.
        try:
            task = self._inner.task(ask.task).name
        except MilepostError:
            task = ""
        labels = (task, "", ask.protocol, error_label(error))
        self._telemetry.count("milepost_requests_total", labels)
        if span is not None:
            span.failed(error)


def error_label(error: BaseException) -> str:
    """The kind of an error in one word: ``overloaded``, ``late``, ``cancelled`` and so on."""
    if isinstance(error, UpstreamError):
        return f"upstream_{error.outcome}"
    if isinstance(error, MilepostError) or type(error).__name__ == "CancelledError":
        name = type(error).__name__.removesuffix("Error")
        return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
    return "internal"
