"""Honest answers of a candidate or release to given examples.

An answer counts only if whoever gave it never saw the example's near-duplicate group: the answer
that its contest recorded for the same id and the same text, which was out of fold or on a part set
aside, or a fresh one to an example that is new to it.
"""

from dataclasses import dataclass, replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from milepost.contests.runner import predict
from milepost.data.duplicates import text_keys
from milepost.data.ranking import grouped_anew
from milepost.data.snapshot import read_snapshot
from milepost.entities.contest import Candidate, Contest
from milepost.entities.example import Examples
from milepost.entities.kinds import KINDS, Kind, Link, width_of
from milepost.entities.spans import NONE, relabelled
from milepost.entities.task import Task
from milepost.workflows.answering.speaking import language_of
from milepost.workflows.contest.datasets import Split
from milepost.workflows.contest.stored_predictions import load_predictions
from milepost.workflows.context import Context
from milepost.workflows.encoders import require_encoder
from milepost.workflows.release.bundles import inputs_for, load_bundle
from milepost.workflows.together.stored import with_others


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Competitor:
    """A candidate with its contest.

    Attributes:
        name: In words, such as ``release 2``.
        candidate: Its record; it has a bundle and predictions.
        contest: Where it took part.
        release: Number of its release; ``None`` where it was not released.
    """

    name: str
    candidate: Candidate
    contest: Contest
    release: int | None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Honest:
    """Honest answers of one to some of ``n`` examples.

    Attributes:
        answered: ``(n,) bool``, whether there is an honest answer.
        probabilities: ``(n, k) float32`` over the wanted labels, as measures read them; where
            there is none they answer nothing.
        fresh: Answers that were asked for now; the others were recorded by its contest.
        seen: Examples without an answer, because it was trained on them or near-duplicates.
    """

    answered: NDArray[np.bool_]
    probabilities: NDArray[np.float32]
    fresh: int
    seen: int


def recorded(context: Context, competitor: Competitor) -> Examples:
    """The examples that its contest recorded its answers to, as they were.

    Raises:
        StorageError: If a snapshot or the predictions are gone or damaged.
    """
    ids = set(_recorded_answers(context, competitor)[0])
    everything = judged_snapshot(context, competitor.contest)
    return everything.take([i for i, each in enumerate(everything.ids) if each in ids])


def honest_answers(
    context: Context,
    task: Task,
    competitor: Competitor,
    examples: Examples,
    labels: tuple[str, ...],
) -> Honest:
    """Honest answers of a competitor.

    Args:
        context: The workspace.
        task: The task, of the kind that the competitor answers.
        competitor: Who is asked.
        examples: ``n`` examples.
        labels: The ``k`` labels of the answers; a label that it does not know gets 0.

    Raises:
        StorageError: If what is needed of it is gone or damaged.
        InputError: If it must be asked, and reads vectors of another encoder.
    """
    n = len(examples)
    ids, known, stored = _recorded_answers(context, competitor)
    row_of = {each: row for row, each in enumerate(ids)}
    snapshot = judged_snapshot(context, competitor.contest)
    text_of = {i: t for i, t in zip(snapshot.ids, snapshot.asked, strict=True) if i in row_of}
    # An id that a user gives may have got another text since: its old answer does not count.
    reused = [
        at
        for at, (i, text) in enumerate(zip(examples.ids, examples.asked, strict=True))
        if text_of.get(i) == text
    ]
    answered = np.zeros(n, np.bool_)
    answered[reused] = True
    link = KINDS[task.kind].link
    blank = NONE if link == "spans" else 0.0
    probabilities = np.full((n, width_of(link, len(labels))), blank, np.float32)
    if reused:
        rows = [row_of[examples.ids[at]] for at in reused]
        probabilities[reused] = aligned(known, labels, stored[rows], link)
    left = np.flatnonzero(~answered).tolist()
    fresh = _unseen(context, task, competitor.contest, examples, left)
    if fresh:
        probabilities[fresh] = _asked(context, competitor, examples.take(fresh), labels, link)
        answered[fresh] = True
    return Honest(
        answered=answered,
        probabilities=probabilities,
        fresh=len(fresh),
        seen=len(left) - len(fresh),
    )


def aligned(
    labels: tuple[str, ...],
    wanted: tuple[str, ...],
    answers: NDArray[np.float32],
    link: Link = "softmax",
) -> NDArray[np.float32]:
    """Answers ``(n, k)`` with their columns as wanted; a label that is not known gets 0."""
    if labels == wanted:
        return answers
    if link == "spans":
        return np.array([relabelled(row, labels, wanted) for row in answers]).reshape(answers.shape)
    out = np.zeros((len(answers), len(wanted)), np.float32)
    position = {label: i for i, label in enumerate(wanted)}
    for i, label in enumerate(labels):
        if label in position:
            out[:, position[label]] = answers[:, i]
    return out


def judged_snapshot(context: Context, contest: Contest) -> Examples:
    """The snapshot that a contest's judged examples are rows of.

    Raises:
        StorageError: If it is gone or damaged.
    """
    digest = contest.examples
    if contest.regime == "test_file" and contest.holdout is not None:
        digest = contest.holdout
    dataset = context.ledger.dataset(digest)
    return read_snapshot(context.artifacts.get(dataset.artifact))


def trained_on(context: Context, contest: Contest) -> Examples:
    """The examples that the candidates of a contest were fitted to, or may have been.

    Where its split was not recorded, sides are those of now, and where there are none, everything
    counts: more than it saw, never less.
    """
    dataset = context.ledger.dataset(contest.examples)
    snapshot = read_snapshot(context.artifacts.get(dataset.artifact))
    if contest.split is not None:
        split = msgspec.json.decode(context.artifacts.get(contest.split), type=Split)
        return with_others(context, contest.task, snapshot.take(split.trained), split.together)
    if contest.regime != "holdout":
        return snapshot
    sides = context.ledger.sides(contest.task)
    keys = text_keys(snapshot.texts)
    return snapshot.take([i for i, key in enumerate(keys) if sides.get(key) != "holdout"])


def kind_of(context: Context, contest: Contest) -> Kind:
    """Kind of the task as it was in a contest."""
    if contest.split is None:
        return "classify"
    return msgspec.json.decode(context.artifacts.get(contest.split), type=Split).task_kind


def as_asked(examples: Examples) -> Examples:
    """The examples with their inputs as they were before any preparation."""
    return replace(examples, texts=examples.asked, originals=())


def _recorded_answers(
    context: Context, competitor: Competitor
) -> tuple[tuple[str, ...], tuple[str, ...], NDArray[np.float32]]:
    digest = competitor.candidate.predictions
    if digest is None:
        return (), (), np.zeros((0, 0), np.float32)
    return load_predictions(context, digest)


def _unseen(
    context: Context, task: Task, contest: Contest, examples: Examples, rows: list[int]
) -> list[int]:
    """Those of the rows whose near-duplicate group it was not trained on."""
    if not rows:
        return []
    asked, trained = grouped_anew(
        # As they were asked: the two may have been prepared by other steps.
        [as_asked(examples.take(rows)), as_asked(trained_on(context, contest))],
        task,
        context.settings.near_duplicate,
    )
    seen = set(trained.groups)
    return [row for row, group in zip(rows, asked.groups, strict=True) if group not in seen]


def _asked(
    context: Context,
    competitor: Competitor,
    examples: Examples,
    labels: tuple[str, ...],
    link: Link,
) -> NDArray[np.float32]:
    bundle = competitor.candidate.bundle
    assert bundle is not None  # noqa: S101 — a competitor has one, for the type checker
    predictor, manifest = load_bundle(context, bundle)
    encoder = context.reading(manifest.encoder).encoder()
    if manifest.encoder is not None:
        require_encoder(manifest.encoder, encoder.digest, competitor.name)
    with language_of(context, manifest.task, predictor, "evaluate") as language:
        answers = predict(predictor, inputs_for(context, manifest, examples), encoder, language)
    return aligned(predictor.labels, labels, answers, link)
