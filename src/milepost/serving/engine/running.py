"""One batch from texts to outcomes, on the thread that took it. Takes no lock."""

from collections.abc import Sequence

import numpy as np

from milepost.serving.engine.heads import answer_rows
from milepost.serving.engine.lanes import Job, passes
from milepost.serving.engine.work import Encoding, Outcome, Stack, TrunkKey


def encode(trunk: Encoding, jobs: Sequence[Job]) -> None:
    """Give each job its vector and tokens, or the error of its encoder.

    A batch that fails is tried again text by text, so that one text fails alone.
    """
    try:
        _encode(trunk, jobs)
    except Exception as error:  # noqa: BLE001 - it fails these texts, not the thread
        if len(jobs) == 1:
            jobs[0].error = error
            return
        for job in jobs:
            encode(trunk, [job])


def _encode(trunk: Encoding, jobs: Sequence[Job]) -> None:
    tokens = trunk.tokenise([job.text for job in jobs])
    lengths = [len(each) for each in tokens]
    for rows in passes(trunk, lengths):
        states = any(jobs[row].states for row in rows)
        passed = trunk.forward([tokens[row] for row in rows], states=states)
        for at, row in enumerate(rows):
            job = jobs[row]
            # A copy: a kept vector must not keep its whole batch.
            job.vector = passed.vectors[at].copy()
            job.tokens = lengths[row]
            if job.states and passed.states is not None:
                job.found = passed.states[at]


def answers_of(jobs: Sequence[Job]) -> list[list[Outcome]]:
    """Per job the outcome of each who waits for it; those who ask the same share one.

    Somebody may join a job meanwhile: the outcomes are those of the first of its waiters.
    """
    outcomes: list[list[Outcome]] = [[] for _ in jobs]
    by_trunk: dict[TrunkKey | None, list[int]] = {}
    for at, job in enumerate(jobs):
        if job.error is not None:
            outcomes[at] = [Outcome(error=job.error)] * len(job.waiters)
        elif job.waiters:
            by_trunk.setdefault(job.waiters[0].stack.trunk, []).append(at)
    for places in by_trunk.values():
        _answer([jobs[at] for at in places], [outcomes[at] for at in places])
    return outcomes


def _answer(jobs: Sequence[Job], outcomes: Sequence[list[Outcome]]) -> None:
    """Append the outcomes of jobs whose vectors are of one trunk."""
    asked: list[tuple[int, Stack]] = []
    waiting: list[tuple[int, int]] = []  # row of the job, index in what is asked
    for row, job in enumerate(jobs):
        if len(job.waiters) == 1:
            waiting.append((row, len(asked)))
            asked.append((row, job.waiters[0].stack))
            continue
        places: dict[tuple[str, bool], int] = {}
        for waiter in job.waiters[:]:
            key = (waiter.stack.key, waiter.stack.states)
            place = places.get(key)
            if place is None:
                place = places[key] = len(asked)
                asked.append((row, waiter.stack))
            waiting.append((row, place))
    vectors = None if jobs[0].vector is None else np.array([job.vector for job in jobs])
    answers = answer_rows([job.text for job in jobs], vectors, asked)
    made: list[Outcome] = []
    for answer, (row, stack) in zip(answers, asked, strict=True):
        job = jobs[row]
        outcome = Outcome(tuple(answer.probabilities), job.vector, job.tokens, job.spared)
        outcome.failures = answer.failures
        outcome.states = job.found if stack.states else None
        made.append(outcome)
    for row, place in waiting:
        outcomes[row].append(made[place])
