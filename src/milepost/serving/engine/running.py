"""One batch from texts to outcomes, on the thread that took it. Takes no lock."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from milepost.models.adapters import Adapter
from milepost.models.words import WORDS, WordSpace, WordTokens
from milepost.serving.engine.heads import answer_rows
from milepost.serving.engine.lanes import Job, passes
from milepost.serving.engine.work import Encoding, Outcome, Stack, TrunkKey


def encode(trunk: Encoding, jobs: Sequence[Job]) -> None:
    """Give each job its vectors and tokens, or the error of its encoder.

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


class _Asked(NamedTuple):
    """A row of a pass: whose it is, in which space, and its tokens.

    A text is a row for each adapter that reads it, one after the other in the same pass. Where its
    words are read, each of its windows is one; the first is the row that gives the vector, too.
    """

    at: int
    name: str | None
    adapter: Adapter | None
    tokens: Sequence[int]
    window: int = -1


def _encode(trunk: Encoding, jobs: Sequence[Job]) -> None:
    tokens = trunk.tokenise([job.text for job in jobs])
    words = _words(trunk, jobs)
    asked = [*_rows(jobs, tokens, words)]
    states: dict[tuple[int, int], NDArray[np.float32]] = {}
    for rows in passes(trunk, [len(each.tokens) for each in asked]):
        part = [asked[row] for row in rows]
        spaces = [each.adapter for each in part]
        passed = trunk.forward(
            [each.tokens for each in part],
            states=any(jobs[each.at].states or each.window >= 0 for each in part),
            adapters=None if not any(spaces) else spaces,
        )
        for row, each in enumerate(part):
            job = jobs[each.at]
            job.tokens = len(tokens[each.at])
            if each.window >= 0 and passed.states is not None:
                states[each.at, each.window] = passed.states[row]
            if each.name == WORDS.digest:
                continue
            # A copy: a kept vector must not keep its whole batch.
            job.vectors[each.name] = passed.vectors[row].copy()
            if each.name is None and job.states and passed.states is not None:
                job.found = passed.states[row]
    for at, found in words.items():
        own = [states[at, window] for window in range(len(found.windows))]
        jobs[at].vectors[WORDS.digest] = found.pooled(own)
        jobs[at].tokens = sum(map(len, found.windows))


def _words(trunk: Encoding, jobs: Sequence[Job]) -> dict[int, WordTokens]:
    """Tokens by word of the texts whose words are read."""
    places = [
        at
        for at, job in enumerate(jobs)
        if WORDS.digest in job.wanted and WORDS.digest not in job.vectors
    ]
    found = trunk.word_tokens([jobs[at].text for at in places]) if places else []
    return dict(zip(places, found, strict=True))


def _rows(
    jobs: Sequence[Job], tokens: Sequence[Sequence[int]], words: Mapping[int, WordTokens]
) -> Iterator[_Asked]:
    for at, job in enumerate(jobs):
        windows = words[at].windows if at in words else []
        left = dict(enumerate(windows))
        for name, space in job.wanted.items():
            if name in job.vectors or isinstance(space, WordSpace):
                continue
            same = space is None and bool(windows) and list(tokens[at]) == windows[0]
            yield _Asked(at, name, space, tokens[at], 0 if same else -1)
            if same:
                del left[0]
        for window, ids in left.items():
            yield _Asked(at, WORDS.digest, None, ids, window)


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
    answers = answer_rows([job.text for job in jobs], [job.vectors for job in jobs], asked)
    made: list[Outcome] = []
    for answer, (row, stack) in zip(answers, asked, strict=True):
        job = jobs[row]
        vectors = {name: job.vectors[name] for name in stack.spaces if name in job.vectors}
        outcome = Outcome(tuple(answer.probabilities), vectors, job.tokens, job.spared)
        outcome.failures = answer.failures
        outcome.states = job.found if stack.states else None
        made.append(outcome)
    for row, place in waiting:
        outcomes[row].append(made[place])
