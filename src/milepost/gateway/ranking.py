"""Bare queries asked of a task that ranks: each is answered with candidates in order."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from milepost.entities.inputs import MARK, Composition
from milepost.entities.ranking import Placed
from milepost.entities.serving import Answer, Answers, Ask, ServedTask
from milepost.gateway.call import Call
from milepost.gateway.errors import RefusedError
from milepost.models.searching.finding import FOUND

TOP = 5
"""Candidates that are told where the asker does not say how many."""

MOST_FOUND = 2 * FOUND
"""Candidates that a query can have: those by its words and those by its vector."""


def query_name(task: ServedTask) -> str | None:
    """Name of the input that may be asked about alone, of a task that ranks; else ``None``."""
    return task.inputs.names[0] if task.kind == "rank" and task.inputs is not None else None


def bare_query(given: str | Mapping[str, str], name: str | None) -> str | None:
    """The query of an input without a candidate; ``None`` of any other input.

    It has no mark, by which it is told from a pair afterwards.

    Args:
        given: A text, or inputs by their names.
        name: As ``query_name`` gives it.
    """
    if name is None:
        return None
    if not isinstance(given, str):
        if list(given) != [name]:
            return None
        given = given[name]
    return given.replace(MARK, " ")


async def ranked(call: Call, ask: Ask, how: Composition) -> Answers:
    """Answers of a task that ranks: candidates for a bare query, best first; of a pair its score.

    Every pair is answered, and recorded, by itself, all by one release.

    Args:
        call: The request.
        ask: What is asked; ``top`` is how many candidates are told.
        how: How a query and a candidate become one text.

    Raises:
        RefusedError: 413 if the queries have more candidates than a request may hold inputs.
        MilepostError: As ``Gate.answer`` and ``Gate.candidates``.
    """
    queries = [text for text in ask.texts if MARK not in text]
    if not queries:
        return await call.gate.answer(call.caller, ask)
    call.gate.check_texts(ask.texts)
    lists = iter(await call.gate.candidates(call.caller, ask.task, queries, ask.deadline))
    found = [None if MARK in text else next(lists) for text in ask.texts]
    pairs = tuple(
        pair
        for text, texts in zip(ask.texts, found, strict=True)
        for pair in ([text] if texts is None else _pairs(how, text, texts))
    )
    if len(pairs) > call.gate.limits.inputs:
        raise RefusedError(
            413,
            "too_many_inputs",
            f"{len(queries):,} queries have {len(pairs):,} candidates; a request may hold at most "
            f"{call.gate.limits.inputs:,}.",
            param="inputs",
            advice="Ask fewer queries in one request, or stream them as NDJSON.",
        )
    answers = await call.gate.answer(call.caller, replace(ask, texts=pairs))
    given = iter(answers.predictions)
    return msgspec.structs.replace(
        answers,
        predictions=tuple(
            next(given)
            if texts is None
            else _best(texts, [next(given) for _ in texts], ask.top or TOP)
            for texts in found
        ),
    )


def _pairs(how: Composition, query: str, texts: Sequence[str]) -> list[str]:
    return [how.text(dict(zip(how.names, (query, text), strict=True))) for text in texts]


def _best(texts: Sequence[str], given: Sequence[Answer], top: int) -> Answer:
    """One answer for a query: its best candidate, and those behind it."""
    scores = [0.0 if each.score is msgspec.UNSET else float(each.score or 0.0) for each in given]
    order = sorted(range(len(texts)), key=scores.__getitem__, reverse=True)[:top]
    ranking = tuple(
        Placed(text=texts[at], score=scores[at], trace_id=given[at].trace_id) for at in order
    )
    first = given[order[0]]
    return msgspec.structs.replace(first, label=texts[order[0]], ranking=ranking)
