"""Teach a task one label: kept for good, and where the head allows it, followed at once.

What it does not promise: that the answers are better. A release's numbers are those of the release
as it was made; what it learned since is provisional until the next contest, which trains on every
label that was taught, judges on none of them, and whose release takes the place of all of it.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import msgspec
import numpy as np

from milepost.data.clean import as_text
from milepost.data.duplicates import text_keys
from milepost.data.truths import separator_of, set_in
from milepost.entities.errors import ConflictError, InputError, MilepostError, UnknownNameError
from milepost.entities.ids import Digest
from milepost.entities.kinds import names_in, said_truth, written_score, written_set
from milepost.entities.learning import LEARNED, WAITING, HeadUpdate, Learned, TopLabel
from milepost.entities.release import Release
from milepost.entities.serving import Feedback
from milepost.entities.task import Task
from milepost.models.images.store import Holding
from milepost.models.pairs import reads
from milepost.predictors.base import Batch, Predictor
from milepost.predictors.given import Given, text_given
from milepost.serving.recording.ids import new_feedback_id
from milepost.serving.verdicts import DIGITS
from milepost.storage.records.releases import PRODUCTION
from milepost.strategies.incremental import Solved
from milepost.workflows.context import Context
from milepost.workflows.learning.heads import (
    Known,
    LiveHead,
    Vector,
    open_head,
    taught,
    truth_of,
)
from milepost.workflows.learning.likely import require_likely
from milepost.workflows.release.bundles import load_bundle, store_bundle
from milepost.workflows.serving.fidelity import at_least
from milepost.workflows.tasks.current import current_task

Input = Given
"""An input, or several by their names; an image is a path, a data URI or bytes."""

Truth = str | Sequence[str] | float
"""What is right: a label, labels, or a number; each may be written as the truth of an example."""

DOUBT = 0.05
"""Labels are not followed at once where the head gets worse at the release's own examples by more
than chance explains: the probability below which that is so (one-sided exact sign test)."""

_TRIES = 3


class _Lesson(NamedTuple):
    """A text that is prepared, with its key and label."""

    given: str
    text: str
    key: str
    label: str


@dataclass(frozen=True, slots=True, eq=False)
class _Changed:
    """A head after a label, and why answers do not follow it."""

    head: LiveHead
    solved: Solved
    known: dict[str, Known]
    why: str = ""


class Teacher:
    """Teaches the tasks of a workspace, one label at a time. Thread safe.

    Holds the heads that it has opened, so that only the first label of a task waits for its
    examples to be read. Whether one is still what answers is asked each time.

    Args:
        context: The workspace.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self._heads: dict[str, LiveHead] = {}
        self._lock = threading.Lock()

    def learn(self, name: str, given: Input, said: Truth, reason: str) -> Learned:
        """Keep what is right of an input; answers follow at once where the head can.

        Args:
            name: Name of the task.
            given: The input; of a task with several a mapping from their names to texts. Images are
                kept in the workspace.
            said: The label, labels, or the score.
            reason: Why, for the audit log.

        Raises:
            UnknownNameError: If there is no such task or label.
            InputError: If there is no text, it is no answer of the task's kind or a score far from
                those of the examples, or the task's own examples say otherwise of it.
        """
        with self._lock:
            for _ in range(_TRIES):
                try:
                    return self._learn(name, given, said, reason)
                except ConflictError:
                    self._heads.pop(name, None)
            return self._learn(name, given, said, reason)

    def _learn(self, name: str, given: Input, said: Truth, reason: str) -> Learned:
        context = self.context
        task = current_task(context, name)
        channel = context.ledger.channel(name, PRODUCTION)
        release = None if channel is None else context.ledger.release(name, channel.release)
        holding = Holding(context.images)
        text = _text_of(task, given, holding)
        label = _written(context, task, release, said, text)
        head, why = self._opened(name, release)
        require_likely(context, task, label, head)
        holding.keep()  # the next contest trains on it
        if head is None:
            return self._keep(name, text, label, (release, why))
        release = head.release
        if set(names_in(task.kind, label)) - set(head.predictor.labels):
            why = f"release {release.number} does not know the label yet"
            return self._keep(name, text, label, (release, why))
        lesson = _lesson(context, head, text, label)
        known = head.known.get(lesson.key)
        truth = truth_of(head, label)
        same = known is not None and np.array_equal(known.truth, truth)
        if known is not None and known.own and not same:
            raise InputError(
                f"the task's own examples say that this is {_said(head, known)}, not {label!r}.",
                where=known.source,
                advice=f"Correct that row, and run `milepost improve {name}`.",
            )
        encoder = context.reading(head.manifest.encoder).encoder()
        vector = reads(head.manifest.inputs, encoder).encode([lesson.text])[0]
        before = _answer(head.answering, lesson.text, vector)
        if same:
            return Learned(
                task=name,
                feedback=None,
                label=label,
                release=release.number,
                at_once=True,
                before=before,
                after=before,
                learned=head.update.learned if head.update else 0,
            )
        return self._follow(head, lesson, vector, before, reason)

    def _opened(self, name: str, release: Release | None) -> tuple[LiveHead | None, str]:
        """The head, or why there is none that can change."""
        if release is None:
            return None, "nothing is in production yet"
        try:
            return self._head(name, release), ""
        except InputError as error:
            return None, error.what.partition(": ")[2]

    def _head(self, name: str, release: Release) -> LiveHead:
        """The head as it answers now, opened where the one that is held is another."""
        update = self.context.ledger.release_update(name, release.number)
        held = self._heads.get(name)
        digest = None if update is None else update.bundle
        if held is None or held.release.number != release.number or held.bundle != digest:
            held = self._heads[name] = open_head(self.context, name, release)
        return held

    def _follow(
        self, head: LiveHead, lesson: _Lesson, vector: Vector, before: TopLabel, reason: str
    ) -> Learned:
        """Store the head with the label, unless it is shown to be worse with it."""
        new = Known(truth=truth_of(head, lesson.label), vector=vector)
        solved, known = taught(head.solved, head.known, lesson.key, new)
        why = harm(head, solved)
        if why:
            return self._keep(head.task, lesson.given, lesson.label, (head.release, why), before)
        number, update = head.release.number, head.update
        replaces = lesson.key in head.known and not head.known[lesson.key].source
        learned = (update.learned if update else 0) + (not replaces)
        feedback = _feedback(self.context, head.task, lesson.given, lesson.label, number, LEARNED)
        changed = recorded(
            self.context,
            replace(head, solved=solved, known=known),
            (learned, update.forgotten if update else 0),
            reason=reason,
            feedback=feedback,
        )
        self._heads[head.task] = changed
        return Learned(
            task=head.task,
            feedback=feedback.id,
            label=lesson.label,
            release=number,
            at_once=True,
            before=before,
            after=_answer(changed.answering, lesson.text, vector),
            learned=learned,
        )

    def _keep(
        self,
        name: str,
        text: str,
        label: str,
        where: tuple[Release | None, str],
        before: TopLabel | None = None,
    ) -> Learned:
        """Keep the label for the next contest."""
        release, why = where
        if not as_text(text).strip():
            raise _nothing()
        number = 0 if release is None else release.number
        feedback = _feedback(self.context, name, text, label, number, WAITING)
        self.context.ledger.add_feedback(feedback)
        return Learned(
            task=name,
            feedback=feedback.id,
            label=label,
            release=None if release is None else number,
            at_once=False,
            before=before,
            after=before,
            why=f"{why[:1].upper()}{why[1:].rstrip('.')}.",
        )


def recorded(
    context: Context,
    head: LiveHead,
    counts: tuple[int, int],
    *,
    reason: str,
    feedback: Feedback | None = None,
) -> LiveHead:
    """Store a changed head's bundle and let it answer; the head with the record of that.

    Args:
        context: The workspace.
        head: The head as it is to answer, with the record of what answers until now.
        counts: Labels learned and examples forgotten since the release was made.
        reason: Why, for the audit log.
        feedback: The label that it learned.

    Raises:
        ConflictError: If something else answers by now.
    """
    manifest = head.updated_manifest(*counts)
    bundle: Digest = store_bundle(context, head.answering, manifest)
    learned, forgotten = counts
    change = HeadUpdate(
        task=head.task,
        release=head.release.number,
        bundle=bundle,
        learned=learned,
        forgotten=forgotten,
    )
    context.ledger.record_update(
        change, head.bundle, reason=reason, actor=context.actor, feedback=feedback
    )
    return replace(head, update=change)


def harm(head: LiveHead, solved: Solved) -> str:
    """Why a changed head may not answer, in words; empty where nothing speaks against it.

    It is tried on the release's own examples, each left out exactly, so that nothing is looked at
    that judges.
    """
    now = head.tried(solved)
    lost, won = int((head.right & ~now).sum()), int((~head.right & now).sum())
    if not lost or at_least(lost, lost + won, 0.5) > DOUBT:
        return ""
    return (
        f"with it the head would get {lost} of {len(now)} of the release's own examples wrong that "
        f"it gets right without, and {won} the other way round"
    )


def _text_of(task: Task, given: Input, holding: Holding) -> str:
    """The one text of what is given."""
    how = task.composition
    if how is None:
        only = given.get(task.input_name, "") if isinstance(given, Mapping) else given
        return text_given(only, None, holding, "the input")
    text = text_given(given, how, holding, "the input")
    if isinstance(given, Mapping) and not any(str(given[name]).strip() for name in how.names):
        raise _nothing()
    return text


def _written(context: Context, task: Task, release: Release | None, said: Truth, text: str) -> str:
    """What is said to be right, as the truth of an example is written.

    Raises:
        UnknownNameError: For a label that neither the task nor its data declares.
        InputError: If it is no answer of the task's kind.
    """
    given = said.strip() if isinstance(said, str) else msgspec.json.encode(said).decode()
    if task.kind == "multilabel" and given[:1] not in ("", "["):
        given = set_in(given, separator_of(task))
    labels = tuple(task.labels)
    if not labels and release is not None:
        labels = load_bundle(context, release.bundle)[1].labels
    try:
        return said_truth(task.kind, given, labels, text)
    except UnknownNameError as error:
        raise UnknownNameError("label", error.name, labels, where=f"task {task.name}") from error


def _said(head: LiveHead, known: Known) -> str:
    """The truth of a known input in words."""
    names = head.predictor.labels
    if head.predictor.link == "softmax":
        return repr(names[int(known.truth)])
    if head.predictor.link == "identity":
        return f"{float(known.truth):g}"
    return repr([name for name, holds in zip(names, known.truth, strict=False) if holds > 0])


def _lesson(context: Context, head: LiveHead, text: str, label: str) -> _Lesson:
    given = as_text(text)
    prepare = context.preparation(head.manifest.prepare)
    try:
        found = prepare([given])[0][: prepare.most]
    except MilepostError as error:
        raise InputError(error.what, where="text", advice=error.advice) from error
    if not found:
        raise _nothing()
    return _Lesson(given, found, text_keys([found])[0], label)


def _nothing() -> InputError:
    return InputError("there is no text.", where="text", advice="Give the input itself.")


def _feedback(
    context: Context, task: str, text: str, label: str, release: int, channel: str
) -> Feedback:
    """The record of a label; there is no trace of it, so that it stands for itself."""
    identity = new_feedback_id()
    return Feedback(
        id=identity,
        trace=identity,
        task=task,
        release=release,
        channel=channel,
        at=context.clock(),
        label=label,
        text=text,
    )


def _answer(predictor: Predictor, text: str, vector: Vector) -> TopLabel:
    found = predictor.predict(Batch((text,), vector[None, :]))
    (answer,) = found.answers
    if isinstance(answer, float):
        return TopLabel(label=written_score(round(answer, DIGITS)), confidence=None)
    best = found.labels[found.label_ids[0]]
    label = written_set([str(each) for each in answer]) if isinstance(answer, tuple) else best
    return TopLabel(label=label, confidence=float(found.confidence[0]))
