"""Both students: taught by others, honest out of fold, the same every time, kept in a bundle."""

import dataclasses

import numpy as np
import pytest

from milepost.entities.release import Manifest
from milepost.predictors.base import Batch
from milepost.predictors.bundle import bundle_files, predictor_from_files
from milepost.strategies.head_closed_form import HeadClosedForm
from milepost.strategies.student import Student
from milepost.strategies.student_encoder import StudentEncoder
from milepost.strategy import Combining, Contender, DeclinedError, Problem, Training
from milepost.testing.strategies import example_problem
from milepost.testing.tiny import TinyEncoder, write_tiny

KINDS = {
    "student": Student(dimensions=8, common=5, pairs=50, epochs=4, rate=0.01),
    "student_encoder": StudentEncoder(layers=1, common=5, epochs=2),
    "student_encoder fp32": StudentEncoder(layers=2, common=5, epochs=1, numbers="fp32"),
}
MORE = ("is my card blocked", "the refund is late", "open on monday")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return TinyEncoder(write_tiny(tmp_path_factory.mktemp("tiny") / "bert"))


def problem_of(tiny) -> Problem:
    found = example_problem(tiny)
    return dataclasses.replace(found, weights=tiny.weights, unlabeled=MORE, language={})


def others_of(problem, seen=None):
    """One teacher; ``seen`` collects the rows that it was fitted on again."""
    head = HeadClosedForm()

    def refit(rows):
        if seen is not None:
            seen.append(rows)
        return head.fit(problem.take(rows))

    k = len(problem.labels)
    return [
        Contender(
            strategy="head_closed_form",
            predictor=head.fit(problem),
            out_of_fold=np.full((len(problem.y), k), 1 / k, np.float32),
            micro_usd_per_1k=1.0,
            p50_ms=1.0,
            refit=refit,
        )
    ]


SLOW = pytest.param("student_encoder", marks=pytest.mark.slow)
REST = [
    pytest.param(name, marks=pytest.mark.exhaustive)
    for name in KINDS
    if name not in {"student", "student_encoder"}
]


@pytest.mark.parametrize("name", ["student", SLOW, *REST])
def test_a_student_keeps_its_promises(name, tiny):
    strategy, problem = KINDS[name], problem_of(tiny)
    assert isinstance(strategy, Combining)
    assert isinstance(strategy, Training)
    assert strategy.supports(problem) is None
    assert 0 < strategy.seconds(problem) < 600
    fold_of = np.arange(len(problem.y)) % 3
    before, seen = problem.y.copy(), []
    predictor, found = strategy.combine(problem, fold_of, others_of(problem, seen))
    assert np.array_equal(problem.y, before)
    # Each fold's teacher saw no row of it.
    assert [sorted(set(fold_of[rows])) for rows in seen] == [[1, 2], [0, 2], [0, 1]]
    assert found.shape == (len(problem.y), len(problem.labels))
    assert np.allclose(found.sum(axis=1), 1.0, atol=1e-4)
    again, other = strategy.combine(problem, fold_of, others_of(problem))
    batch = Batch(("someone took my card", "", "été 😀", *problem.texts[:3]))
    answers = predictor.predict(batch).probabilities
    assert np.array_equal(other, found)
    assert np.array_equal(again.predict(batch).probabilities, answers)
    described = Manifest(
        kind=predictor.kind,
        task="route",
        task_version="0" * 64,
        labels=predictor.labels,
        strategy=strategy.name,
    )
    read, _ = predictor_from_files(bundle_files(predictor, described))
    assert np.array_equal(read.predict(batch).probabilities, answers)
    assert predictor.spaces == ()


def test_labels_of_a_fold_change_no_answer_to_it(tiny):
    """Whatever the labels of fold 0 are, its logits are those of models without them."""
    strategy, problem = KINDS["student"], problem_of(tiny)
    fold_of = np.arange(len(problem.y)) % 3
    inside = fold_of == 0
    y = problem.y.copy()
    y[inside] = (y[inside] + 1) % 3
    swapped = dataclasses.replace(problem, y=y)
    _, first = strategy.combine(problem, fold_of, others_of(problem))
    _, second = strategy.combine(swapped, fold_of, others_of(swapped))
    # The temperature of fold 0 is fitted on answers of models that saw fold 0; the order is not.
    assert np.array_equal(first[inside].argsort(axis=1), second[inside].argsort(axis=1))
    assert not np.array_equal(first[~inside], second[~inside])


@pytest.mark.parametrize("name", ["student", "student_encoder"])
def test_a_student_says_why_it_cannot_be_made(name, tiny):
    strategy, problem = KINDS[name], problem_of(tiny)
    with pytest.raises(DeclinedError):
        strategy.fit(problem)
    with pytest.raises(DeclinedError, match="no other candidate"):
        strategy.combine(problem, np.arange(len(problem.y)) % 3, [])
    bare = dataclasses.replace(problem, weights=None)
    assert "encoder" in (strategy.supports(bare) or "")
    fewer = problem.take(np.flatnonzero(problem.y == 0))
    assert "two labels" in (strategy.supports(fewer) or "")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Student(dimensions=1),
        lambda: Student(gold=1.5),
        lambda: Student(pairs=-1),
        lambda: StudentEncoder(layers=0),
        lambda: StudentEncoder(gold=-0.1),
        lambda: StudentEncoder(unlabeled=-1),
    ],
)
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="must"):
        wrong()
