"""Answers the tasks of a workspace: routes, asks the engine, heeds guards, records. No HTTP."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from milepost.entities.errors import OverloadedError
from milepost.entities.learning import UPDATED
from milepost.entities.serving import (
    Answer,
    Answers,
    Ask,
    Feedback,
    RecordingRule,
    ServedTask,
    Shadowed,
    Trace,
    Usage,
)
from milepost.models.images.store import Holding
from milepost.serving.asking import Embedded, Said, ServedEncoder
from milepost.serving.deciding import Decided, decide
from milepost.serving.driving import Driver
from milepost.serving.images import with_images
from milepost.serving.parts import Parts, State
from milepost.serving.passes import Passes, drive_route, run_route
from milepost.serving.passing.asking import Passing
from milepost.serving.passing.judging import Judge
from milepost.serving.passing.through import Books, PassThrough
from milepost.serving.recording.ids import new_ids
from milepost.serving.routing.choosing import choose
from milepost.serving.routing.plan import Route
from milepost.serving.shadows import Shadows
from milepost.serving.tracing import priced, traces_of
from milepost.serving.verdicts import spans_told

_LOOK_SECONDS = 0.02


class Service:
    """A workspace that answers; implements ``Answering``. Lives on one event loop.

    The routing table is replaced by another thread while it runs: a request reads it once, so that
    all of its texts and guards are of one moment, and ends on the release that it began with.

    Args:
        parts: What it is made of.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._router = parts.router
        self._driver = Driver(parts.languages)
        self._asked = parts.engine, self._driver
        self._shadows = Shadows(parts.engine, self._driver)
        self.passing: Passing = PassThrough(
            parts.languages,
            Judge(parts.router, parts.engine, self._driver),
            parts.passing,
            Books(parts.recorder, parts.clock),
        )
        self._in_flight = 0
        self._closing = False

    async def answer(self, ask: Ask) -> Answers:
        """See ``Answering.answer``."""
        self._require_open()
        self._in_flight += 1
        try:
            return await self._answer(ask)
        finally:
            self._in_flight -= 1

    async def _answer(self, ask: Ask) -> Answers:
        begun = time.perf_counter()
        table = self._router.table
        plan = self._router.plan(table, ask.task)
        how = plan.served.inputs
        holding = Holding(self._parts.images)  # until they are answered
        if how is not None and how.pictures:
            ask = replace(ask, texts=await asyncio.to_thread(with_images, how, ask.texts, holding))
        if ask.release is None:
            route = choose(plan, ask)
        else:
            route = await self._router.pinned(plan, ask.release)
        passes = await run_route(self._parts.engine, route, ask.texts, ask.deadline)
        if route.driven:
            passes = await drive_route(self._driver, passes, ask)
        decided = await decide(self._router, table, self._asked, ask, passes)
        answers, costs = self._answers(ask, passes, decided), None
        if plan.served.asks:
            answers, costs = priced(answers, passes, decided)
        beside = self._shadows.beside(passes, answers)
        timed = self._parts.clock, time.perf_counter() - begun
        traces = traces_of(ask, answers, passes.lanes[0], beside, timed, costs)
        await self._record(plan.recording, passes.route, (ask, answers), traces)
        return answers

    def _answers(self, ask: Ask, passes: Passes, decided: Sequence[Decided]) -> Answers:
        head, texts = passes.route.answering, len(ask.texts)
        cached = tokens = spared = 0
        for lane in passes.lanes:
            for outcome in lane:
                tokens += outcome.tokens
                spared += outcome.spared
        for outcome in passes.lanes[0]:
            cached += outcome.cached
        predictions = [
            Answer(
                label=each.given.label,
                confidence=each.given.confidence,
                probabilities=each.given.probabilities,
                abstained=each.given.abstained,
                rung=each.rung,
                guards=each.verdicts,
                trace_id=id,
                labels=msgspec.UNSET if each.given.labels is None else each.given.labels,
                score=msgspec.UNSET if each.given.score is None else each.given.score,
                spans=spans_told(each.given.spans, text),
            )
            for id, text, each in zip(new_ids(texts), ask.texts, decided, strict=True)  # noqa: A001
        ]
        return Answers(
            task=ask.task,
            release=head.release,
            channel=passes.route.channel,
            predictions=tuple(predictions),
            usage=Usage(
                inputs=texts,
                cached=cached,
                tokens=tokens,
                cached_tokens=spared,
                cost_usd=head.cost_usd_per_1k / 1000.0 * (texts - cached),
            ),
            provisional=True if UPDATED in head.manifest.parameters else msgspec.UNSET,
        )

    async def _record(
        self, rule: RecordingRule, route: Route, said: tuple[Ask, Answers], traces: list[Trace]
    ) -> None:
        """Keep the traces; with those of a shadow that is asked afterwards, once it has spoken."""
        recorder = self._parts.recorder
        if rule.strict and recorder is not None:
            # What is promised is kept before the answer, and cannot wait for a shadow.
            await recorder.commit(traces, rule)
            return

        def keep(shadows: Sequence[Shadowed | None]) -> None:
            shown = zip(traces, shadows, strict=True)
            if recorder is not None:
                recorder.record([msgspec.structs.replace(t, shadow=s) for t, s in shown], rule)

        if not self._shadows.after(route, *said, keep) and recorder is not None:
            recorder.record(traces, rule)

    async def embed(self, texts: Sequence[str], deadline: float | None = None) -> Embedded:
        """See ``Answering.embed``."""
        self._require_open()
        self._in_flight += 1
        try:
            return await self._parts.vectors.embed(texts, deadline)
        finally:
            self._in_flight -= 1

    async def candidates(
        self, task: str, queries: Sequence[str], deadline: float | None = None
    ) -> list[list[str]]:
        """See ``Answering.candidates``."""
        self._require_open()
        self._in_flight += 1
        try:
            return await self._parts.candidates(self.task(task), queries, deadline)
        finally:
            self._in_flight -= 1

    def encoder(self) -> ServedEncoder | None:
        """See ``Answering.encoder``."""
        return self._parts.vectors.served

    def task(self, name: str) -> ServedTask:
        """See ``Answering.task``."""
        return self._router.plan(self._router.table, name).served

    def asks(self, task: str) -> bool:
        """See ``Answering.asks``."""
        plan = self._router.table.plans.get(task)
        return plan is not None and plan.served.asks

    def tasks(self) -> Sequence[ServedTask]:
        """See ``Answering.tasks``."""
        plans = self._router.table.plans
        return [plans[name].served for name in sorted(plans)]

    async def feedback(self, said: Said) -> tuple[Feedback, bool]:
        """See ``Answering.feedback``."""
        self._require_open()
        return await self._parts.feedback(said)

    def unready(self) -> str | None:
        """See ``Answering.unready``."""
        if self._closing:
            return "it is shutting down"
        table = self._router.table
        if table.broken and not table.plans:
            task, why = next(iter(table.broken.items()))
            return f"no task can answer; {task}: {why}"
        return self._parts.recorder.unready() if self._parts.recorder is not None else None

    def problems(self) -> Mapping[str, str]:
        """See ``Answering.problems``."""
        return self._parts.loading().problems

    def state(self) -> State:
        """What readiness and metrics show."""
        load, recorder = self._parts.engine.load(), self._parts.recorder
        return State(
            tasks=len(self._router.table.plans),
            in_flight=self._in_flight,
            queued_texts=load.texts,
            queued_tokens=load.tokens,
            running=load.running,
            traces_lost=recorder.lost if recorder is not None else 0,
            loading=self._parts.loading(),
            shadows=self._shadows.counts,
        )

    async def close(self, grace: float) -> None:
        """See ``Answering.close``."""
        self._closing = True
        until = time.monotonic() + grace
        while self._in_flight and time.monotonic() < until:
            await asyncio.sleep(_LOOK_SECONDS)
        await self._shadows.finish(max(0.0, until - time.monotonic()))
        for end in self._parts.closing:
            await end(max(0.0, until - time.monotonic()))

    def _require_open(self) -> None:
        if self._closing:
            raise OverloadedError("this server is shutting down.")
