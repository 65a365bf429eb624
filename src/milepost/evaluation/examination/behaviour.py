"""Declared tests of behaviour (Ribeiro et al. 2020, CheckList): run, counted and judged.

An invariance and a direction are asked of a sample of inputs, so that their share has a bound:
they fail when it is shown to be below what is asked, and stay open when it is below but not shown
to be. With all tests passing as often as asked, one fails in at most 5 % of examinations (at
95 % confidence): the exact bounds (Clopper & Pearson 1934) are shared by all sampled tests
(Bonferroni). The cases of a minimum are a fixed list: their share is a fact and decides alone.

The labels of sampled inputs are not looked at; only a minimum has right answers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from milepost.entities.estimate import Estimate
from milepost.entities.examination import BehaviourPart, BehaviourScore, Case, Check, Outcome
from milepost.entities.example import Examples
from milepost.entities.expectations import Behaviour
from milepost.entities.task import Task
from milepost.evaluation.examination.behaviour_words import asked, sentence, shortened
from milepost.evaluation.examination.changes import (
    Change,
    change_named,
    replacing,
    surrounding,
)
from milepost.evaluation.examination.subject import Answering
from milepost.evaluation.slices import slice_masks
from milepost.metrics.inference.intervals import Sampling, proportion
from milepost.metrics.scoring.deciding import answer_name, decided, is_right

_FUZZ = 1e-6
"""What single-precision probabilities may differ by and still be the same."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Examinee:
    """What declared tests need to know.

    Attributes:
        task: The task.
        labels: The ``k`` label names, in the order of the columns.
        inputs: Inputs to change; their labels are not looked at.
        predict: Asks the predictor.
        cases: Cases of each file that a minimum names.
        trained: Texts that the predictor was trained on.
        chars: Characters of changed text that each sampled test may ask about, about.
        sampling: Confidence and seed.
        shown: Most failures that are listed per test, and per part of one.
    """

    task: Task
    labels: tuple[str, ...]
    inputs: Examples
    predict: Answering
    cases: Mapping[str, Examples] = field(default_factory=dict[str, Examples])
    trained: Sequence[str] = ()
    chars: int = 20_000
    sampling: Sampling = field(default_factory=Sampling)
    shown: int = 5

    @property
    def tests(self) -> tuple[Behaviour, ...]:
        """The declared tests."""
        return self.task.behaviour if isinstance(self.task.behaviour, tuple) else ()


class Found(NamedTuple):
    """Scores in the order of the task file, a check for each, and what a reader must know."""

    scores: tuple[BehaviourScore, ...]
    checks: tuple[Check, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Trial:
    """A test with its ``n`` cases; ``changed`` is ``None`` for a minimum."""

    test: Behaviour
    examples: Examples
    changed: tuple[str, ...] | None

    @property
    def texts(self) -> tuple[str, ...]:
        return (*self.examples.texts, *(self.changed or ()))


@dataclass(frozen=True, slots=True, eq=False)
class _Answers:
    """What was answered to a trial: ``(n, k)`` before and after, and which cases pass ``(n,)``."""

    before: NDArray[np.float32]
    after: NDArray[np.float32]
    passed: NDArray[np.bool_]
    worst: NDArray[np.float64]


def change_of(test: Behaviour) -> Change:
    """The change that an invariance or a direction makes.

    Raises:
        UnknownNameError: If it names a built-in change that does not exist.
    """
    if test.change is not None:
        return change_named(test.change)
    if test.replace:
        return replacing(test.replace, test.name)
    return surrounding(test.prefix, test.suffix, test.name)


def run_tests(tested: Examinee) -> Found:
    """Run all declared tests; every text is asked about once, in one batch.

    Raises:
        InputError: If a test cannot be run; ``check_declared`` finds that before.
    """
    if not tested.tests:
        return Found((), (), ())
    trials = _trials(tested)
    texts = list(dict.fromkeys(text for trial in trials for text in trial.texts))
    rows = {text: row for row, text in enumerate(texts)}
    k = len(tested.labels)
    probabilities = tested.predict(texts) if texts else np.zeros((0, k), np.float32)

    def answers_to(asked_texts: Sequence[str]) -> NDArray[np.float32]:
        return probabilities[[rows[text] for text in asked_texts]].reshape(-1, k)

    sampled = sum(trial.changed is not None and len(trial.examples) > 0 for trial in trials)
    confidence = 1.0 - (1.0 - tested.sampling.confidence) / max(sampled, 1)
    scores: list[BehaviourScore] = []
    checks: list[Check] = []
    for trial in trials:
        answers = _answers(trial, tested.labels, answers_to)
        sure = tested.sampling.confidence if trial.changed is None else confidence
        score = _score(tested, trial, answers, sure)
        scores.append(score)
        checks.append(
            Check(
                name=f"behaviour {score.name}",
                outcome=score.outcome,
                sentence=sentence(score, tested.sampling.confidence),
            )
        )
    return Found(tuple(scores), tuple(checks), _notes(tested, trials))


def _trials(tested: Examinee) -> list[_Trial]:
    """The cases of each test, in the order of the task file."""
    wheres = {t.name: t.where for t in tested.tests if t.where is not None and t.file is None}
    masks = slice_masks(tested.inputs, tested.task.input_name, wheres)
    everything = np.ones(len(tested.inputs), np.bool_)
    trials: list[_Trial] = []
    for test in tested.tests:
        if test.kind == "minimum":
            trials.append(_listed(tested, test))
        else:
            trials.append(_sampled(tested, test, masks.get(test.name, everything)))
    return trials


def _listed(tested: Examinee, test: Behaviour) -> _Trial:
    """All cases of a minimum's file that it takes."""
    cases = tested.cases[test.file or ""]
    if test.where is not None:
        mask = slice_masks(cases, tested.task.input_name, {test.name: test.where})[test.name]
        cases = cases.take(np.flatnonzero(mask).tolist())
    return _Trial(test, cases, None)


def _sampled(tested: Examinee, test: Behaviour, mask: NDArray[np.bool_]) -> _Trial:
    """Inputs in a random order, as far as the characters reach, where the change does something."""
    change, seed = change_of(test), tested.sampling.seed
    order = np.random.default_rng(seed).permutation(np.flatnonzero(mask)).tolist()
    rows: list[int] = []
    texts: list[str] = []
    left = tested.chars
    for row in order:
        changed = change(tested.inputs.texts[row], seed)
        if changed is None:
            continue
        left -= len(changed)
        if left < 0:
            break
        rows.append(row)
        texts.append(changed)
    return _Trial(test, tested.inputs.take(rows), tuple(texts))


def _answers(
    trial: _Trial,
    labels: Sequence[str],
    answers_to: Callable[[Sequence[str]], NDArray[np.float32]],
) -> _Answers:
    """Which cases pass, and how bad each failure is."""
    before = answers_to(trial.examples.texts)
    if trial.changed is None:
        y = np.asarray([labels.index(str(label)) for label in trial.examples.labels], np.int64)
        return _Answers(before, before, is_right(decided(before), y), _confidence(before))
    after = answers_to(trial.changed)
    if trial.test.label is not None:
        about = labels.index(trial.test.label)
        loss = (before[:, about] - after[:, about]).astype(np.float64)
        return _Answers(before, after, loss <= tolerance_of(trial.test) + _FUZZ, loss)
    # No answer to either is no answer that stays.
    same = is_right(decided(after), decided(before))
    return _Answers(before, after, same, _confidence(before) + _confidence(after))


def tolerance_of(test: Behaviour) -> float:
    """Largest loss of probability that a direction lets pass."""
    return 0.05 if test.tolerance is None else test.tolerance


def _confidence(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    return probabilities.max(axis=1, initial=0.0).astype(np.float64)


def _score(tested: Examinee, trial: _Trial, answers: _Answers, confidence: float) -> BehaviourScore:
    test, n = trial.test, len(trial.examples)
    failed = np.flatnonzero(~answers.passed)
    parts = _parts(tested, trial, answers, confidence)
    passed = proportion(n - len(failed), n, confidence) if n else None
    outcome = _outcome(passed, test.at_least, fixed=trial.changed is None)
    if parts:
        outcome = "failed" if any(part.outcome == "failed" for part in parts) else "passed"
    return BehaviourScore(
        name=test.name,
        kind=test.kind,
        asks=asked(test, tolerance_of(test)),
        n=n,
        failed=len(failed),
        passed=passed,
        at_least=test.at_least,
        outcome=outcome,
        by=test.by,
        parts=parts,
        cases=_cases(tested, trial, answers, failed),
    )


def _outcome(passed: Estimate | None, at_least: float, *, fixed: bool) -> Outcome:
    """A fixed list decides by its share; a sample only by what its bound shows."""
    if passed is None:
        return "open"
    if passed.value >= at_least:
        return "passed"
    return "failed" if fixed or passed.at_most < at_least else "open"


def _parts(
    tested: Examinee, trial: _Trial, answers: _Answers, confidence: float
) -> tuple[BehaviourPart, ...]:
    """The cases of each value of the column that is reported by, worst first."""
    if trial.test.by is None:
        return ()
    values = np.asarray(part_names(trial.examples, trial.test.by, tested.task.data.label), object)
    parts: list[BehaviourPart] = []
    for name in sorted(set(values.tolist())):
        rows = np.flatnonzero(values == name)
        failed = rows[~answers.passed[rows]]
        passed = proportion(len(rows) - len(failed), len(rows), confidence)
        parts.append(
            BehaviourPart(
                name=name,
                n=len(rows),
                failed=len(failed),
                passed=passed,
                outcome=_outcome(passed, trial.test.at_least, fixed=True),
                cases=_cases(tested, trial, answers, failed),
            )
        )
    return tuple(sorted(parts, key=lambda part: (part.passed.value, -part.n, part.name)))


def part_names(cases: Examples, by: str, label: str) -> list[str]:
    """The value of each case in the column, as text; missing ones are ``none``."""
    column = cases.labels if by == label else cases.metadata[by]
    return ["none" if value is None else str(value) for value in column]


def _cases(
    tested: Examinee, trial: _Trial, answers: _Answers, failed: NDArray[np.int64]
) -> tuple[Case, ...]:
    """The worst of the failures."""
    worst = failed[np.argsort(-answers.worst[failed], kind="stable")][: tested.shown].tolist()
    labels = tested.labels
    about = labels.index(trial.test.label) if trial.test.label is not None else None
    cases: list[Case] = []
    for row in worst:
        before, after = answers.before[row], answers.after[row]
        first = int(decided(before)) if about is None else about
        then = int(decided(after)) if about is None else about
        changed = trial.changed is not None
        cases.append(
            Case(
                id=trial.examples.ids[row],
                text=shortened(trial.examples.texts[row]),
                actual=trial.examples.labels[row],
                answer=answer_name(labels, first),
                confidence=round(float(before[first]), 6),
                changed=shortened(trial.changed[row]) if trial.changed is not None else None,
                answer_then=answer_name(labels, then) if changed else None,
                confidence_then=round(float(after[then]), 6) if changed else None,
            )
        )
    return tuple(cases)


def _notes(tested: Examinee, trials: Sequence[_Trial]) -> tuple[str, ...]:
    """Cases that the predictor was trained on prove nothing about others."""
    if not tested.trained:
        return ()
    known = {_folded(text) for text in tested.trained}
    notes: list[str] = []
    for trial in trials:
        if trial.changed is not None:
            continue
        leaks = sum(_folded(text) in known for text in trial.examples.texts)
        if leaks:
            notes.append(
                f"{leaks:,} of the {len(trial.examples):,} cases of behaviour "
                f"`{trial.test.name}` are training examples too, word for word."
            )
    return tuple(notes)


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
