"""What is answered to each input of a request, once the engine has spoken and guards are heeded."""

from dataclasses import dataclass

from milepost.entities.serving import Ask, Verdict
from milepost.serving.passes import Passes, Running, run_route
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
        rung: What answered: the strategy, or the guard that stopped it.
        verdicts: Of each guard by its task.
    """

    given: Given
    rung: str
    verdicts: dict[str, Verdict]


@dataclass(frozen=True, slots=True)
class _Told:
    """What was made of an outcome that the engine keeps: asked again, it is told again."""

    key: str
    top: int
    decided: Decided


async def decide(
    router: Router, table: Table, engine: Running, ask: Ask, passes: Passes
) -> list[Decided]:
    """What is answered to each text.

    What a guard routes elsewhere is answered by that task's production release, without the
    guards of that task.

    Args:
        router: Finds the task that is routed to.
        table: The table that the request began with.
        engine: Asked again for what is routed elsewhere.
        ask: The request.
        passes: What the engine said.

    Raises:
        HeadFailedError: If the release or a guard failed: no answer goes past a guard that is out.
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
        elif outcome.cached and len(passes.lanes) == 1:
            outcome.told = _Told(key, top, one)
    for task, rows in elsewhere.items():
        bare = router.plan(table, task).bare
        chosen = [ask.texts[row] for row in rows]
        other = await run_route(engine, bare, chosen, ask.deadline)
        for at, row in enumerate(rows):
            answer = given(bare.answering, other.row(_ANSWER, at), top)
            decided[row] = Decided(answer, decided[row].rung, decided[row].verdicts)
    return decided


def _decided(passes: Passes, text: int, top: int) -> tuple[Decided, str | None]:
    """What is answered to a text, and the task that answers it instead, if any."""
    route, head = passes.route, passes.route.answering
    if not route.guards:
        answer = given(head, passes.row(_ANSWER, text), top)
        return Decided(answer, head.strategy, _NO_VERDICTS), None
    said = [verdict(each, passes.row(each.place, text)) for each in route.guards]
    verdicts = {each.guard.task: one for each, one in zip(route.guards, said, strict=True)}
    guard = stopped_by(route.guards, said)
    if guard is None:
        answer = given(head, passes.row(_ANSWER, text), top)
        return Decided(answer, head.strategy, verdicts), None
    to = guard.to if guard.action == "route" else None
    return Decided(WITHHELD, f"guard:{guard.task}", verdicts), to
