"""What a student is taught: the best of the other candidates answers all texts there are.

A student that is judged out of fold has a teacher that saw none of the fold either: each fold's
teacher is fitted again without it, and says what it thinks of the same unlabelled texts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from milepost.entities.errors import UpstreamError
from milepost.entities.prediction import undecided
from milepost.metrics.scoring.calibration import fit_temperature
from milepost.models.language.asking import Answered
from milepost.predictors.asking import Question, drive
from milepost.predictors.base import Predictor, softmax
from milepost.predictors.reading import batch_for
from milepost.strategy import Contender, DeclinedError, Problem

Rows = NDArray[np.int64]

_PLAIN_PROMPT = "prompted"
"""The one strategy whose questions hold no labelled example: its answers cannot carry an answer of
one fold into another."""

_NO_TEACHERS = ("majority", "cascade", "student", "student_encoder")
_TINY = 1e-7


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """What a student is to learn.

    Attributes:
        texts: ``n`` inputs: the labelled ones, then the others.
        targets: ``(n, k) float32`` probabilities that it is to give.
        labelled: How many of the texts come first and have a label.
    """

    texts: tuple[str, ...]
    targets: NDArray[np.float32]
    labelled: int


Learn = Callable[[Problem, Taught], Predictor]
"""Makes a student of what it is taught, uncalibrated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessons:
    """How a teacher is listened to.

    Attributes:
        gold: Share of the target that is the label itself, of inputs that have one, 0 to 1.
        most: Most unlabelled inputs that are learned from.
        asked: Most of them that a language model is asked about, where it is the best teacher.
    """

    gold: float = 0.5
    most: int = 10_000
    asked: int = 500


def taught_folds(
    problem: Problem,
    fold_of: Rows,
    others: Sequence[Contender],
    lessons: Lessons,
    learn: Learn,
) -> tuple[Predictor, NDArray[np.float32]]:
    """The student of all examples, and its calibrated out-of-fold probabilities.

    Raises:
        DeclinedError: If there is no teacher, or no time to be taught.
    """
    teacher = best_teacher(problem, others)
    count = int(fold_of.max()) + 1
    extra = inputs_of(problem, teacher, lessons)
    logits = np.zeros((len(problem.texts), len(problem.labels)))
    for fold in range(count):
        if problem.deadline.passed:
            raise DeclinedError("The budget was used up while it was taught.")
        outside, inside = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        part = replace(
            problem.take(outside), progress=_stretch(problem, fold / (count + 1), count + 1)
        )
        found = teacher.predictor if teacher.refit is None else teacher.refit(outside)
        student = learn(part, told_by(part, teacher, found, outside, extra, lessons))
        texts = tuple(problem.texts[row] for row in inside.tolist())
        logits[inside] = student.logits(batch_for(student, texts, problem.encoder))
    if not np.isfinite(logits).all():
        raise DeclinedError("It diverged while it was taught.")
    probabilities = np.zeros(logits.shape, np.float32)
    for fold in range(count):
        outside, inside = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        temperature = fit_temperature(logits[outside], problem.y[outside])
        probabilities[inside] = softmax(logits[inside] / temperature)
    whole = replace(problem, progress=_stretch(problem, count / (count + 1), count + 1))
    every = np.arange(len(problem.texts))
    student = learn(whole, told_by(whole, teacher, teacher.predictor, every, extra, lessons))
    return student.calibrated(fit_temperature(logits, problem.y)), probabilities


def best_teacher(problem: Problem, others: Sequence[Contender]) -> Contender:
    """Who explains the labels best out of fold, by log loss.

    Raises:
        DeclinedError: If nobody else could be fitted.
    """
    able = [
        each
        for each in others
        if each.strategy.partition("-")[0] not in _NO_TEACHERS
        and (each.refit is not None or each.strategy.partition("-")[0] == _PLAIN_PROMPT)
    ]
    if not able:
        raise DeclinedError("There is no other candidate that could teach it.")
    rows = np.arange(len(problem.y))

    def surprise(each: Contender) -> float:
        own = each.out_of_fold[rows, problem.y].astype(np.float64)
        return float(-np.log(np.maximum(own, _TINY)).mean())

    return min(able, key=surprise)


def inputs_of(problem: Problem, teacher: Contender, lessons: Lessons) -> tuple[str, ...]:
    """The unlabelled inputs that are learned from: a language model is asked about fewer."""
    most = lessons.asked if teacher.predictor.upstreams else lessons.most
    if len(problem.unlabeled) <= most:
        return problem.unlabeled
    drawn = np.random.default_rng(problem.seed).permutation(len(problem.unlabeled))[:most]
    return tuple(problem.unlabeled[at] for at in np.sort(drawn).tolist())


def told_by(
    part: Problem,
    teacher: Contender,
    predictor: Predictor,
    rows: Rows,
    extra: tuple[str, ...],
    lessons: Lessons,
) -> Taught:
    """What the teacher says of the part's examples and of the other texts."""
    gold = np.eye(len(part.labels), dtype=np.float32)[part.y]
    if predictor.upstreams:
        # Its answers to the examples are there already: nobody is asked them again.
        own, more = teacher.out_of_fold[rows], _asked(part, predictor, extra)
    else:
        told = predictor.predict(batch_for(predictor, (*part.texts, *extra), part.encoder))
        own, more = np.split(told.probabilities, [len(part.texts)])
    kept = np.flatnonzero(~undecided(more)) if len(more) else np.zeros(0, np.int64)
    said = np.where(undecided(own)[:, None], gold, own)
    mixed = np.float32(lessons.gold) * gold + np.float32(1.0 - lessons.gold) * said
    return Taught(
        texts=(*part.texts, *(extra[at] for at in kept.tolist())),
        targets=np.concatenate([mixed, more[kept]]).astype(np.float32),
        labelled=len(part.texts),
    )


def _asked(problem: Problem, predictor: Predictor, texts: tuple[str, ...]) -> NDArray[np.float32]:
    """What a language model answers; rows that it leaves open, or may not be asked, are even."""
    speakers = [problem.language[name] for name in predictor.upstreams if name in problem.language]
    even = np.full((len(texts), len(problem.labels)), 1.0 / len(problem.labels), np.float32)
    if not texts or len(speakers) != 1:
        return even

    def ask(questions: Sequence[Question]) -> Sequence[Answered]:
        return speakers[0].ask([each.request for each in questions])

    batch = batch_for(predictor, texts, problem.encoder)
    try:
        return drive(predictor.answering(batch), ask).probabilities
    except UpstreamError:
        return even  # no money is left: it learns from what was answered before


def _stretch(problem: Problem, start: float, parts: int) -> Callable[[float], None]:
    return lambda share: problem.progress(start + share / parts)
