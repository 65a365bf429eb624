"""What the built-in changes do to a candidate: the metric before and after, and what broke.

One random sample of judged inputs, stratified by label, is changed in every way, and the same
predictor is asked before and after. The intervals of the drops hold all at once (Bonferroni over
the changes that were measured).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from milepost.entities.examination import Case, ChangeScore
from milepost.evaluation.examination.behaviour_words import shortened
from milepost.evaluation.examination.changes import CHANGES, STANDARD
from milepost.evaluation.examination.subject import Subject
from milepost.evaluation.measuring import by_answers
from milepost.metrics.inference.comparison import paired_difference
from milepost.metrics.inference.intervals import estimate, proportion
from milepost.metrics.scoring.confusion import Cells
from milepost.metrics.scoring.deciding import answer_name, decided, is_right

FEWEST = 10
"""Fewest changed inputs from which a change is reported."""

_SHOWN = 5


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """One change with the judged rows that it changed, ``(m,)``, and what they became."""

    change: str
    rows: NDArray[np.int64]
    texts: list[str]


def robustness(subject: Subject) -> tuple[tuple[ChangeScore, ...], tuple[str, ...]]:
    """Every built-in change, the largest drop first, and what a reader must know.

    Returns:
        A score per change that changed at least ``FEWEST`` of the sampled inputs, and notes.
    """
    rows, asked = _sampled(subject)
    asked = [each for each in asked if len(each.rows) >= FEWEST]
    if not asked:
        return (), _nothing(subject)
    texts = [subject.examples.texts[row] for row in rows]
    known = {row: at for at, row in enumerate(rows)}
    probabilities = subject.predict([*texts, *(text for each in asked for text in each.texts)])
    start = len(texts)
    scores: list[ChangeScore] = []
    for each in asked:
        before = probabilities[[known[row] for row in each.rows.tolist()]]
        after = probabilities[start : start + len(each.rows)]
        start += len(each.rows)
        scores.append(_score(subject, each, before, after, len(asked)))
    notes: tuple[str, ...] = ()
    if subject.regime == "cross_fitted":
        notes = (
            "Robustness: nothing was set aside, so the predictor had seen the inputs that were "
            "changed; the metric before a change is better than on new inputs.",
        )
    metric = subject.task.objective.metric
    if by_answers(metric) != metric:
        notes += (f"Robustness is measured by accuracy, as {metric} needs more than answers.",)
    return tuple(sorted(scores, key=lambda score: -score.drop)), notes


def _sampled(subject: Subject) -> tuple[list[int], list[_Asked]]:
    """The sampled rows, as many as the characters allow, with their changes."""
    changes = [CHANGES[name] for name in STANDARD]
    seed, left = subject.sampling.seed, subject.chars
    rows: list[int] = []
    changed: dict[str, list[tuple[int, str]]] = {name: [] for name in STANDARD}
    for row in _stratified(subject.y, seed):
        text = subject.examples.texts[row]
        became = {change.name: change(text, seed) for change in changes}
        left -= sum(len(each) for each in became.values() if each is not None)
        if left < 0:
            break
        rows.append(row)
        for name, each in became.items():
            if each is not None:
                changed[name].append((row, each))
    return rows, [
        _Asked(name, np.asarray([row for row, _ in each], np.int64), [text for _, text in each])
        for name, each in changed.items()
    ]


def _stratified(y: NDArray[np.int64], seed: int) -> list[int]:
    """All rows in a random order whose every beginning holds the labels in proportion."""
    shuffled = np.random.default_rng(seed).permutation(len(y))
    place = np.empty(len(y))
    for label in np.unique(y):
        rows = shuffled[y[shuffled] == label]
        place[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    return shuffled[np.argsort(place[shuffled], kind="stable")].tolist()


def _score(
    subject: Subject,
    asked: _Asked,
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    changes: int,
) -> ChangeScore:
    metric, k = by_answers(subject.task.objective.metric), len(subject.labels)
    sampling = subject.sampling
    y, first, then = subject.y[asked.rows], decided(before), decided(after)
    drop, low, high = paired_difference(
        metric,
        Cells.of(y, np.stack([first, then]), k),
        1.0 - (1.0 - sampling.confidence) / changes,
    )
    broke = np.flatnonzero(is_right(first, y) & ~is_right(then, y))
    broke = broke[np.argsort(-after[broke].max(axis=1, initial=0.0), kind="stable")][:_SHOWN]
    return ChangeScore(
        change=asked.change,
        metric=metric,
        n=len(y),
        before=estimate(metric, y, first, k, sampling),
        after=estimate(metric, y, then, k, sampling),
        flips=proportion(int((first != then).sum()), len(y), sampling.confidence),
        drop=drop,
        drop_low=low,
        drop_high=high,
        cases=tuple(
            Case(
                id=subject.examples.ids[asked.rows[at]],
                text=shortened(subject.examples.texts[asked.rows[at]]),
                actual=subject.labels[int(y[at])],
                answer=answer_name(subject.labels, int(first[at])),
                confidence=round(float(before[at].max()), 6),
                changed=shortened(asked.texts[at]),
                answer_then=answer_name(subject.labels, int(then[at])),
                confidence_then=round(float(after[at].max()), 6),
            )
            for at in broke.tolist()
        ),
    )


def _nothing(subject: Subject) -> tuple[str, ...]:
    if not subject.chars:
        return ("Robustness was not measured: examine_chars is 0 (milepost.toml).",)
    return (
        f"Robustness was not measured: examine_chars = {subject.chars:,} (milepost.toml) is not "
        f"enough to change {FEWEST} inputs in every way.",
    )
