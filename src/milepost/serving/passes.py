"""One request's work: its texts prepared, asked of the engine in one go, and read back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from milepost.entities.serving import Ask
from milepost.models.language.asking import Terms
from milepost.predictors.preparation.preparing import require_something
from milepost.serving.driving import Driven, Driver
from milepost.serving.engine.engine import Load
from milepost.serving.engine.work import Outcome, Work
from milepost.serving.routing.plan import Lane, Place, Route
from milepost.serving.verdicts import stopped_by, verdict


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
        driven: What driven heads said of each text, by their places; ``None`` for a text that a
            guard stopped before. ``None`` for all where the route has no such head.
    """

    route: Route
    lanes: Sequence[Sequence[Outcome]]
    driven: Mapping[Place, Sequence[Driven | None]] | None = None

    def row(self, place: Place, text: int) -> NDArray[np.float32]:
        """Probabilities ``(k,) float32`` of a head for a text.

        Raises:
            HeadFailedError: If the head failed on it.
        """
        outcome = self.lanes[place.lane][text]
        row = outcome.probabilities[place.head]
        if row is None:
            said = None if self.driven is None else self.driven.get(place, ())[text]
            if said is not None and said.error is None:
                return said.row
            if said is not None and said.error is not None:
                outcome = Outcome(failures={place.head: said.error})
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


async def drive_route(driver: Driver, passes: Passes, ask: Ask) -> Passes:
    """Drive the heads that the engine cannot ask: guards first, then what answers.

    What a guard stops is put to no language model: that would cost, and tell it to others.

    Args:
        driver: Drives them.
        passes: What the engine said; its route has driven heads.
        ask: The request.

    Raises:
        HeadFailedError: If a guard failed.
    """
    route, answering = passes.route, Place(0, 0)
    terms = terms_of(ask)
    driven: dict[Place, Sequence[Driven | None]] = {}
    every = range(len(ask.texts))
    for place in route.driven:
        if place != answering:
            driven[place] = await _drive(driver, (passes, place), ask.texts, every, terms)
    passes = replace(passes, driven=driven)
    if answering in route.driven:
        going = [text for text in every if not _stopped(passes, text)]
        driven[answering] = await _drive(driver, (passes, answering), ask.texts, going, terms)
    return passes


def terms_of(ask: Ask) -> Terms:
    """Under what language models are asked for a request."""
    return Terms(task=ask.task, key=ask.key, deadline=ask.deadline, parent=ask.parent)


async def _drive(
    driver: Driver,
    head: tuple[Passes, Place],
    texts: Sequence[str],
    rows: Sequence[int],
    terms: Terms,
) -> list[Driven | None]:
    """What a head says of some of the texts; nothing for the others."""
    passes, place = head
    lane = passes.route.lanes[place.lane]
    prepared = lane.prepare([texts[row] for row in rows])
    predictor = lane.seats[place.head].predictor
    vectors = [passes.lanes[place.lane][row].read_by(predictor) for row in rows]
    found = await driver.drive(predictor, prepared, vectors, terms)
    said: list[Driven | None] = [None] * len(texts)
    for row, each in zip(rows, found, strict=True):
        said[row] = each
    return said


def _stopped(passes: Passes, text: int) -> bool:
    guards = passes.route.guards
    said = [verdict(each, passes.row(each.place, text)) for each in guards]
    return stopped_by(guards, said) is not None
