"""Releases in the shadow: what they would have answered, at no cost to whoever asked."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from milepost.entities.serving import Answers, Ask, Shadowed
from milepost.serving.driving import Driver, is_driven
from milepost.serving.engine.work import Outcome, Work
from milepost.serving.loaded import Loaded
from milepost.serving.passes import HeadFailedError, Passes, Running, terms_of
from milepost.serving.routing.plan import Lane, Route
from milepost.serving.verdicts import shadowed

MOST_ASIDE = 64
"""Requests whose shadow is asked after their answer was given, at one time; more go without."""

Then = Callable[[Sequence[Shadowed | None]], None]
"""Told what a release in the shadow says of each text."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class ShadowCounts:
    """What became of the shadows since the start.

    Attributes:
        answered: Inputs that a release in the shadow answered.
        agreed: Of these, with the label that the asker got.
        failed: Inputs on which it failed.
        skipped: Inputs that went without, because too many waited.
    """

    answered: int = 0
    agreed: int = 0
    failed: int = 0
    skipped: int = 0


class Shadows:
    """Asks releases in the shadow. Lives on the event loop.

    Nothing that goes wrong here reaches the caller; it is counted, and logged once a release.

    Args:
        engine: Where they are asked.
        driver: Drives those that the engine cannot ask.
    """

    def __init__(self, engine: Running, driver: Driver) -> None:
        self.counts = ShadowCounts()
        self._engine = engine
        self._driver = driver
        self._going: set[asyncio.Task[None]] = set()
        self._told: set[tuple[str, int]] = set()

    def beside(self, passes: Passes, answers: Answers) -> list[Shadowed | None]:
        """What the release that was asked along says of each text."""
        texts = range(len(answers.predictions))
        shadow = passes.route.shadow
        if shadow is None:
            return [None] * len(texts)
        head, place = shadow
        said: list[Shadowed | None] = []
        for text in texts:
            try:
                said.append(shadowed(head, passes.row(place, text)))
                self._count(said[-1], answers, text)
            except HeadFailedError as error:
                said.append(None)
                self._failed(head, 1, error)
        return said

    def after(self, route: Route, ask: Ask, answers: Answers, then: Then) -> bool:
        """Ask a release that would hold the answer up, once the answer is given.

        Args:
            route: The way that the request went.
            ask: The request.
            answers: What was answered.
            then: Told what it says of each text, or that it said nothing.

        Returns:
            Whether ``then`` will be called.
        """
        if route.aside is None:
            return False
        if len(self._going) >= MOST_ASIDE:
            self.counts.skipped += len(ask.texts)
            return False
        task = asyncio.get_running_loop().create_task(self._ask(*route.aside, (ask, answers), then))
        self._going.add(task)
        task.add_done_callback(self._going.discard)
        return True

    async def finish(self, seconds: float) -> None:
        """Wait for those that are asked now, so long at most."""
        if self._going:
            await asyncio.wait(self._going, timeout=seconds)

    async def _ask(self, head: Loaded, lane: Lane, asked: tuple[Ask, Answers], then: Then) -> None:
        texts = asked[0].texts
        said: list[Shadowed | None] = [None] * len(texts)
        try:
            works = [Work(text, lane.stack) for text in lane.prepare(texts)]
            outcomes = await self._engine.run(works)
            if is_driven(head.predictor):
                outcomes = await self._driven(head, works, outcomes, asked[0])
            for at, outcome in enumerate(outcomes):
                row = outcome.probabilities[0] if outcome.error is None else None
                if row is None:
                    failures = outcome.failures or {}
                    self._failed(head, 1, outcome.error or failures.get(0))
                else:
                    said[at] = shadowed(head, row)
                    self._count(said[at], asked[1], at)
        except Exception as error:  # noqa: BLE001 - the caller has its answer, and must not know
            self._failed(head, len(texts), error)
        finally:
            then(said)

    async def _driven(
        self, head: Loaded, works: Sequence[Work], outcomes: Sequence[Outcome], ask: Ask
    ) -> list[Outcome]:
        """The same outcomes with what a driven release says; the caller does not wait for it."""
        terms = replace(terms_of(ask), deadline=None)
        texts = [work.text for work in works]
        vectors = [outcome.read_by(head.predictor) for outcome in outcomes]
        said = await self._driver.drive(head.predictor, texts, vectors, terms)
        return [
            Outcome((each.row,), error=outcome.error or each.error or each.failure)
            for outcome, each in zip(outcomes, said, strict=True)
        ]

    def _count(self, said: Shadowed | None, answers: Answers, text: int) -> None:
        self.counts.answered += 1
        if said is not None and said.label == answers.predictions[text].label:
            self.counts.agreed += 1

    def _failed(self, head: Loaded, inputs: int, error: Exception | None) -> None:
        self.counts.failed += inputs
        which = head.task, head.release
        if which not in self._told:
            self._told.add(which)
            _log.warning("the shadow %s#%d failed: %r", head.task, head.release, error)
