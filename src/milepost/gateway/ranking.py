"""Bare queries asked of a task that ranks: each is answered with candidates in order."""

from collections.abc import Sequence

import msgspec

from milepost.entities.inputs import Composition
from milepost.entities.ranking import Placed
from milepost.entities.serving import Answer, Answers
from milepost.gateway.call import Call

TOP = 5
"""Candidates that are told where the asker does not say how many."""


async def ranked(
    call: Call,
    task: str,
    how: Composition,
    queries: Sequence[str],
    asked: tuple[int | None, str | None],
) -> Answers:
    """Candidates for each query, best first; every pair is answered, and recorded, by itself.

    Args:
        call: The request.
        task: Name of the task.
        how: How a query and a candidate become one text.
        queries: What is asked.
        asked: Most candidates that are told, and for whom the answers are.

    Raises:
        MilepostError: As ``Gate.answer`` and ``Gate.candidates``.
    """
    top, subject = asked
    found = await call.gate.candidates(call.caller, task, queries, call.deadline)
    pairs = [
        how.text(dict(zip(how.names, (query, text), strict=True)))
        for query, texts in zip(queries, found, strict=True)
        for text in texts
    ]
    answers = await call.gate.answer(call.caller, call.ask(task, tuple(pairs), subject=subject))
    given = iter(answers.predictions)
    return msgspec.structs.replace(
        answers,
        predictions=tuple(
            _best(texts, [next(given) for _ in texts], top or TOP) for texts in found
        ),
    )


def _best(texts: Sequence[str], given: Sequence[Answer], top: int) -> Answer:
    """One answer for a query: its best candidate, and those behind it."""
    scores = [0.0 if each.score is msgspec.UNSET else float(each.score or 0.0) for each in given]
    order = sorted(range(len(texts)), key=scores.__getitem__, reverse=True)[:top]
    ranking = tuple(
        Placed(text=texts[at], score=scores[at], trace_id=given[at].trace_id) for at in order
    )
    first = given[order[0]]
    return msgspec.structs.replace(first, label=texts[order[0]], ranking=ranking)
