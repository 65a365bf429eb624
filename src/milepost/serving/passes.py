"""One request's work: its texts prepared, asked of the engine in one go, and read back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from milepost.predictors.preparation.preparing import require_something
from milepost.serving.engine.engine import Load
from milepost.serving.engine.work import Outcome, Work
from milepost.serving.routing.plan import Lane, Place, Route


class Running(Protocol):
    """What is needed of the engine here."""

    async def run(self, works: Sequence[Work]) -> list[Outcome]:
        """Outcomes in the order of the works."""
        ...

    def load(self) -> Load:
        """What waits and runs now."""
        ...


class HeadFailedError(RuntimeError):
    """A predictor failed on an input; the fault is not the asker's."""


@dataclass(frozen=True, slots=True, eq=False)
class Passes:
    """Outcomes of the texts of a request.

    Attributes:
        route: The way that they went.
        lanes: Per lane one outcome a text.
    """

    route: Route
    lanes: Sequence[Sequence[Outcome]]

    def row(self, place: Place, text: int) -> NDArray[np.float32]:
        """Probabilities ``(k,) float32`` of a head for a text.

        Raises:
            HeadFailedError: If the head failed on it.
        """
        outcome = self.lanes[place.lane][text]
        row = outcome.probabilities[place.head]
        if row is None:
            why = outcome.failures.get(place.head) if outcome.failures else None
            head = self.route.lanes[place.lane].stack.heads[place.head]
            raise HeadFailedError(
                f"the predictor of bundle {head.bundle[:12]} failed on input {text}: {why}"
            ) from why
        return row


async def run_route(
    engine: Running, route: Route, texts: Sequence[str], deadline: float | None
) -> Passes:
    """Prepare the texts as each lane's releases were fitted, and ask the engine for all at once.

    Raises:
        InputError: If a text cannot be prepared, or nothing is left of it for the release that
            answers.
        OverloadedError: If the queue is full.
        LateError: If the deadline passed.
    """
    lanes = route.lanes
    works = _works(lanes[0], texts, deadline)
    require_something(texts, [work.text for work in works])
    for lane in lanes[1:]:
        works += _works(lane, texts, deadline)
    outcomes = await engine.run(works)
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
    if len(lanes) == 1:
        return Passes(route, (outcomes,))
    n = len(texts)
    return Passes(route, [outcomes[at : at + n] for at in range(0, len(outcomes), n)])


def _works(lane: Lane, texts: Sequence[str], deadline: float | None) -> list[Work]:
    stack = lane.stack
    return [Work(text, stack, deadline) for text in lane.prepare(texts)]
