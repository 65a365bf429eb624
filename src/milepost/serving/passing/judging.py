"""What guards say of texts of any length: window by window, the most suspicious one counts."""

import asyncio
from collections.abc import Sequence

from milepost.entities.errors import InputError, MilepostError, OverloadedError
from milepost.entities.serving import Ask, Guard, Verdict
from milepost.models.language.asking import Terms
from milepost.serving.driving import Driver
from milepost.serving.passes import HeadFailedError, Running, drive_route, run_route
from milepost.serving.passing.windows import windows
from milepost.serving.routing.plan import Guarding, Place
from milepost.serving.routing.router import Router
from milepost.serving.routing.routes import tripping
from milepost.serving.verdicts import verdict

MOST_WINDOWS = 256
"""Windows of one text that are judged; a longer text is not let through by a guard that blocks."""

RETRY_SECONDS = 10.0
"""After which to try again where a guard is out."""

_HEAD = Place(0, 0)


class Judge:
    """Asks guards; used on one event loop.

    Args:
        router: Finds the guards' releases.
        engine: Asks them.
        driver: Drives those that the engine cannot ask.
    """

    def __init__(self, router: Router, engine: Running, driver: Driver) -> None:
        self._router = router
        self._engine = engine
        self._driver = driver

    async def verdicts(
        self, guards: Sequence[Guard], text: str, terms: Terms
    ) -> dict[str, Verdict]:
        """What each guard says of a text, by its task; nothing of a text with nothing to read.

        Raises:
            InputError: If the text is too long to be judged.
            OverloadedError: If a guard has nothing in production or fails, or the engine has too
                much to do.
            UpstreamError: If a guard asks a language model that does not answer.
        """
        parts = windows(text) if guards else []
        if not parts:
            return {}
        if len(parts) > MOST_WINDOWS:
            raise InputError(
                f"the text is too long for its guards: {len(text):,} characters.",
                advice="Send less at once.",
            )
        found = await asyncio.gather(*(self._one(guard, parts, terms) for guard in guards))
        return {guard.task: said for guard, said in zip(guards, found, strict=True)}

    async def _one(self, guard: Guard, parts: Sequence[str], terms: Terms) -> Verdict:
        try:
            bare = self._router.plan(self._router.table, guard.task).bare
            head = bare.answering
            guarding = Guarding(guard, head, tripping(guard, head), _HEAD)
        except MilepostError as error:
            raise _out(guard, str(error)) from error
        passes = await run_route(self._engine, bare, parts, terms.deadline)
        try:
            if bare.driven:
                ask = Ask(
                    task=guard.task,
                    texts=tuple(parts),
                    key=terms.key,
                    deadline=terms.deadline,
                    parent=terms.parent,
                )
                passes = await drive_route(self._driver, passes, ask)
            said = [verdict(guarding, passes.row(_HEAD, at)) for at in range(len(parts))]
        except HeadFailedError as error:
            raise _out(guard, "its predictor failed.") from error
        for driven in (passes.driven or {}).get(_HEAD, ()):
            if driven is not None and driven.failure is not None:
                raise driven.failure
        return max(said, key=lambda each: each.score)


def _out(guard: Guard, why: str) -> OverloadedError:
    return OverloadedError(
        f"the guard {guard.task!r} cannot speak, and nothing goes past it: {why}",
        retry_after=RETRY_SECONDS,
    )
