"""What is answered to each input of a request, once the engine has spoken and guards are heeded."""

from dataclasses import dataclass, replace

from milepost.entities.prediction import undecided
from milepost.entities.serving import Ask, Verdict
from milepost.serving.driving import Driven, Driver
from milepost.serving.passes import Passes, Running, drive_route, run_route
from milepost.serving.routing.plan import Place, Table
from milepost.serving.routing.router import Router
from milepost.serving.verdicts import WITHHELD, Given, given, stopped_by, verdict

TOP = 5
"""Labels whose probabilities are told where the asker does not say how many."""

_ANSWER = Place(0, 0)
_NO_VERDICTS: dict[str, Verdict] = {}


@dataclass(frozen=True, slots=True)
class Decided:
    """What is answered to one input.

    Attributes:
        given: Label and probabilities.
        rung: What answered: the strategy, the rung of a cascade, or the guard that stopped it.
        verdicts: Of each guard by its task.
        asked: What driven heads said on the way, and cost.
    """

    given: Given
    rung: str
    verdicts: dict[str, Verdict]
    asked: tuple[Driven, ...] = ()


@dataclass(frozen=True, slots=True)
class _Told:
    """What was made of an outcome that the engine keeps: asked again, it is told again."""

    key: str
    top: int
    decided: Decided


async def decide(
    router: Router, table: Table, asked: tuple[Running, Driver], ask: Ask, passes: Passes
) -> list[Decided]:
    """What is answered to each text.

    What a guard routes elsewhere is answered by that task's production release, without the
    guards of that task.

    Args:
        router: Finds the task that is routed to.
        table: The table that the request began with.
        asked: Engine and driver, asked again for what is routed elsewhere.
        ask: The request.
        passes: What the engine said.

    Raises:
        HeadFailedError: If the release or a guard failed: no answer goes past a guard that is out.
        UpstreamError: If a language model did not answer, and nothing else did.
    """
    key, top = passes.route.key, ask.top or TOP
    decided: list[Decided] = []
    elsewhere: dict[str, list[int]] = {}
    for text, outcome in enumerate(passes.lanes[0]):
        told = outcome.told
        if isinstance(told, _Told) and told.key == key and told.top == top:
            decided.append(told.decided)
            continue
        one, to = _decided(passes, text, top)
        decided.append(one)
        if to is not None:
            elsewhere.setdefault(to, []).append(text)
        elif outcome.cached and len(passes.lanes) == 1 and passes.driven is None:
            outcome.told = _Told(key, top, one)
    for task, rows in elsewhere.items():
        bare = router.plan(table, task).bare
        chosen = [ask.texts[row] for row in rows]
        other = await run_route(asked[0], bare, chosen, ask.deadline)
        if bare.driven:
            other = await drive_route(asked[1], other, replace(ask, texts=tuple(chosen)))
        for at, row in enumerate(rows):
            answer, was = _given(other, at, top)[0], decided[row]
            decided[row] = Decided(answer, was.rung, was.verdicts, was.asked + _asked(other, at))
    return decided


def _given(passes: Passes, text: int, top: int) -> tuple[Given, str]:
    """What the release says of a text, and which rung of it.

    A cascade one of whose rungs could not be asked promises nothing: its answer is withheld, which
    whoever asks a cascade is prepared for, and the other inputs of the request have theirs.

    Raises:
        UpstreamError: If a language model did not answer, and nothing else could.
    """
    head = passes.route.answering
    answer = given(head, passes.row(_ANSWER, text), top)
    said = None if passes.driven is None else passes.driven.get(_ANSWER)
    one = None if said is None else said[text]
    if one is None:
        return answer, head.strategy
    if one.failure is not None:
        if one.rung is not None:
            withheld = Given(None, answer.confidence, answer.probabilities, abstained=True)
            answer = replace(withheld, failure=one.failure)
        elif undecided(one.row):
            raise one.failure
    return answer, one.rung or head.strategy


def _asked(passes: Passes, text: int) -> tuple[Driven, ...]:
    """What driven heads said of a text."""
    if passes.driven is None:
        return ()
    said = (each[text] for each in passes.driven.values())
    return tuple(one for one in said if one is not None)


def _decided(passes: Passes, text: int, top: int) -> tuple[Decided, str | None]:
    """What is answered to a text, and the task that answers it instead, if any."""
    route, head = passes.route, passes.route.answering
    if not route.guards:
        if passes.driven is not None:
            return Decided(*_given(passes, text, top), _NO_VERDICTS, _asked(passes, text)), None
        answer = given(head, passes.row(_ANSWER, text), top)
        return Decided(answer, head.strategy, _NO_VERDICTS), None
    said = [verdict(each, passes.row(each.place, text)) for each in route.guards]
    verdicts = {each.guard.task: one for each, one in zip(route.guards, said, strict=True)}
    guard = stopped_by(route.guards, said)
    if guard is None:
        return Decided(*_given(passes, text, top), verdicts, _asked(passes, text)), None
    to = guard.to if guard.action == "route" else None
    return Decided(WITHHELD, f"guard:{guard.task}", verdicts, _asked(passes, text)), to
