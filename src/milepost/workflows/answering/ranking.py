"""A bare query answered: candidates are found, and ordered by a release."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import InputError
from milepost.entities.inputs import Composition
from milepost.entities.ranking import Placed, Rankings
from milepost.entities.task import Task
from milepost.models.encoder import Encoder
from milepost.models.searching.dense import best
from milepost.models.searching.finding import FOUND, Collection
from milepost.workflows.answering.answered import Which
from milepost.workflows.answering.bulk import KEPT_TEXTS, in_parts, opened
from milepost.workflows.answering.collecting import collection_of
from milepost.workflows.context import Context
from milepost.workflows.encoders import require_encoder
from milepost.workflows.release.bundles import Answerer, find_answerer
from milepost.workflows.tasks.current import current_task

TOP = 10
"""Candidates that a query is answered with where nobody says how many."""


def rank_queries(
    context: Context, name: str, queries: Sequence[str], which: Which, top: int | None = None
) -> Rankings:
    """Find candidates for each query by words and by vectors, and order them by a release.

    Args:
        context: The workspace.
        name: Name of a task of the kind ``rank``.
        queries: What is asked, each with something in it.
        which: What orders them.
        top: Most candidates for each query, at least 1; ``None`` takes ``TOP``.

    Raises:
        InputError: If the task does not rank, a query is empty, or ``top`` is below 1.
        DataError: If there is no candidate.
    """
    task = current_task(context, name)
    how = require_ranking(task)
    most = TOP if top is None else top
    if most < 1:
        raise InputError(f"{most} candidates are none.", where="top", advice="The least is 1.")
    if not all(query.strip() for query in queries):
        raise InputError("a query is empty.", where=name, advice="Give each some words.")
    answerer = find_answerer(context, name, which.release, which.candidate)
    encoder = encoder_of(context, answerer)
    context.on_event(name, "reading candidates", 0.0)
    collection = collection_of(context, task, encoder)
    vectors = None if encoder is None else encoder.encode(queries)
    found = [
        collection.find(query, None if vectors is None else vectors[at], max(FOUND, most))
        for at, query in enumerate(queries)
    ]
    pairs = [
        how.text(dict(zip(how.names, (query, collection.texts[row]), strict=True)))
        for query, rows in zip(queries, found, strict=True)
        for row in rows
    ]
    scores = iter(_scores(context, answerer, pairs))
    return Rankings(
        task=name,
        release=answerer.release,
        candidate=answerer.candidate,
        queries=tuple(queries),
        rankings=tuple(_placed(collection, rows, [next(scores) for _ in rows], most)
                       for rows in found),
        collection=len(collection),
    )  # fmt: skip


def require_ranking(task: Task) -> Composition:
    """How a query and a candidate become one text.

    Raises:
        InputError: If the task does not rank.
    """
    how = task.composition
    if task.kind != "rank" or how is None:
        raise InputError(
            f"it is of the kind {task.kind}, and orders no candidates.",
            where=task.name,
            advice="Ask a task of the kind rank.",
        )
    return how


def encoder_of(context: Context, answerer: Answerer) -> Encoder | None:
    """The encoder of texts that a release was fitted on; ``None`` where it reads words alone.

    Raises:
        InputError: If the workspace's encoder is another one.
    """
    if answerer.predictor.uses != "vectors":
        return None
    encoder = context.reading(answerer.manifest.encoder).encoder()
    require_encoder(answerer.manifest.encoder, encoder.digest)
    return encoder


def _scores(context: Context, answerer: Answerer, pairs: list[str]) -> list[float]:
    scores: list[float] = []
    with opened(context, answerer, keep=len(pairs) <= KEPT_TEXTS) as bulk:
        for _, found in bulk.answers(in_parts(pairs)):
            scores += found.probabilities[:, 0].tolist()
    return scores


def _placed(
    collection: Collection, rows: Sequence[int], scores: Sequence[float], most: int
) -> tuple[Placed, ...]:
    """The best candidates of one query."""
    given: NDArray[np.float64] = np.array(scores, np.float64)
    order: list[int] = best(given[None, :], most)[0].tolist()
    return tuple(
        Placed(text=collection.texts[rows[at]], score=round(scores[at], 6)) for at in order
    )
