"""Declared tests of behaviour: counted right, judged by what is shown, and refused in time."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from milepost.entities.errors import InputError
from milepost.entities.example import Examples
from milepost.entities.expectations import Behaviour
from milepost.entities.task import Task
from milepost.evaluation.declared import check_declared
from milepost.evaluation.examination.behaviour import Examinee, run_tests

LABELS = ("calm", "angry")


def _examples(texts: Sequence[str], labels: Sequence[str | None], **metadata: tuple) -> Examples:
    names = tuple(f"e{i}" for i in range(len(texts)))
    return Examples(names, tuple(texts), tuple(labels), names, names, metadata)


def _predict(texts: Sequence[str]) -> NDArray[np.float32]:
    """Capital letters and ``bad`` make it angry."""
    angry = np.asarray([0.9 if t.isupper() or "bad" in t else 0.2 for t in texts])
    return np.column_stack([1 - angry, angry]).astype(np.float32)


def _tested(*tests: Behaviour, cases: dict[str, Examples] | None = None, n: int = 200) -> Examinee:
    texts = [f"message {i} about {'London' if i % 10 == 0 else 'rain'}" for i in range(n)]
    return Examinee(
        task=Task(name="mood", labels=dict.fromkeys(LABELS, ""), behaviour=tests),
        labels=LABELS,
        inputs=_examples(texts, [None] * n, length=tuple(range(n))),
        predict=_predict,
        cases=cases or {},
    )


def test_what_a_change_does_not_move_passes() -> None:
    test = Behaviour(name="polite", kind="invariance", prefix="Hello, ", at_least=1.0)
    (score,), (check,), _ = run_tests(_tested(test))
    assert (score.n, score.failed, score.outcome) == (200, 0, "passed")
    assert check.outcome == "passed"
    assert "200 of 200 inputs" in check.sentence


def test_what_a_change_moves_fails_and_names_the_input() -> None:
    test = Behaviour(name="loud", kind="invariance", change="upper_case")
    (score,), (check,), _ = run_tests(_tested(test))
    assert (score.n, score.failed, score.outcome) == (200, 200, "failed")
    case = score.cases[0]
    assert (case.answer, case.answer_then) == ("calm", "angry")
    assert case.changed == case.text.upper()
    assert case.text.upper() in check.sentence


def test_only_inputs_with_a_word_take_part_in_its_replacement() -> None:
    test = Behaviour(name="cities", kind="invariance", replace={"london": "Paris"})
    (score,), *_ = run_tests(_tested(test))
    assert score.n == 20


def test_a_predicate_chooses_who_takes_part() -> None:
    test = Behaviour(name="few", kind="invariance", prefix="x ", where="length < 30")
    (score,), *_ = run_tests(_tested(test))
    assert score.n == 30


def test_a_test_that_nothing_applies_to_stays_open() -> None:
    test = Behaviour(name="none", kind="invariance", replace={"Madrid": "Rome"})
    (score,), (check,), _ = run_tests(_tested(test))
    assert (score.n, score.passed, score.outcome) == (0, None, "open")
    assert "was not tested" in check.sentence


@pytest.mark.parametrize(
    ("bad", "n", "outcome"), [(1, 20, "passed"), (2, 20, "open"), (8, 20, "failed")]
)
def test_a_sample_fails_only_when_it_is_shown_to(bad: int, n: int, outcome: str) -> None:
    tested = _tested(Behaviour(name="swap", kind="invariance", replace={"poor": "bad"}))
    texts = ["poor one" if i < bad else f"rich {i} poor" for i in range(n)]
    inputs = _examples(texts, [None] * n)

    def predict(asked: Sequence[str]) -> NDArray[np.float32]:
        angry = np.asarray([0.9 if t == "bad one" else 0.2 for t in asked])
        return np.column_stack([1 - angry, angry]).astype(np.float32)

    (score,), *_ = run_tests(replace(tested, inputs=inputs, predict=predict))
    assert (score.failed, score.outcome) == (bad, outcome)


def test_the_bound_pays_for_all_sampled_tests() -> None:
    one = Behaviour(name="a", kind="invariance", change="upper_case", at_least=0.1)
    (alone,), *_ = run_tests(_tested(one))
    others = [Behaviour(name=f"b{i}", kind="invariance", prefix="x ") for i in range(9)]
    scores, *_ = run_tests(_tested(one, *others))
    assert alone.passed is not None
    assert scores[0].passed is not None
    assert alone.passed.at_most == pytest.approx(1 - 0.05 ** (1 / 200))
    assert scores[0].passed.at_most == pytest.approx(1 - 0.005 ** (1 / 200))


def test_a_direction_may_not_lower_the_probability_of_its_label() -> None:
    up = Behaviour(name="up", kind="direction", suffix=" bad", label="angry")
    down = Behaviour(name="down", kind="direction", suffix=" bad", label="calm", tolerance=0.1)
    scores, checks, _ = run_tests(_tested(up, down))
    assert [score.outcome for score in scores] == ["passed", "failed"]
    case = scores[1].cases[0]
    assert case.answer == "calm"
    assert case.confidence_then is not None
    assert case.confidence - case.confidence_then == pytest.approx(0.7, abs=1e-6)
    assert "fell from 0.80 to 0.10" in checks[1].sentence


CASES = _examples(
    ["bad one", "bad two", "good", "fine", "LOUD"],
    ["angry", "angry", "calm", "angry", "calm"],
    kind=("plain", "plain", "plain", "hard", "hard"),
)


@pytest.mark.parametrize(("at_least", "outcome"), [(0.6, "passed"), (0.61, "failed")])
def test_the_share_of_a_fixed_list_decides(at_least: float, outcome: str) -> None:
    test = Behaviour(name="must", kind="minimum", file="must.csv", at_least=at_least)
    (score,), *_ = run_tests(_tested(test, cases={"must.csv": CASES}))
    assert (score.n, score.failed, score.outcome) == (5, 2, outcome)
    assert [case.text for case in score.cases] == ["LOUD", "fine"]


def test_each_value_of_a_column_must_reach_the_share() -> None:
    test = Behaviour(name="must", kind="minimum", file="must.csv", by="kind", at_least=0.5)
    (score,), (check,), _ = run_tests(_tested(test, cases={"must.csv": CASES}))
    assert [(part.name, part.failed, part.n) for part in score.parts] == [
        ("hard", 2, 2),
        ("plain", 0, 3),
    ]
    assert score.outcome == "failed"
    assert "hard (0 of 2)" in check.sentence


def test_cases_that_were_trained_on_are_told() -> None:
    test = Behaviour(name="must", kind="minimum", file="must.csv", at_least=0.0)
    tested = replace(_tested(test, cases={"must.csv": CASES}), trained=["BAD  one", "other"])
    assert "1 of the 5 cases" in run_tests(tested).notes[0]


def test_characters_bound_what_is_asked() -> None:
    test = Behaviour(name="polite", kind="invariance", prefix="Hello, ")
    (score,), *_ = run_tests(replace(_tested(test), chars=1000))
    assert 20 <= score.n <= 45
    assert run_tests(replace(_tested(test), chars=0)).scores[0].outcome == "open"


REFUSED = [
    ({"kind": "invariance"}, "nothing is changed"),
    ({"kind": "invariance", "prefix": "x", "change": "typos"}, "two ways"),
    ({"kind": "invariance", "change": "typoes"}, "'typos'"),
    ({"kind": "invariance", "change": "typos", "label": "calm"}, "belongs to a direction"),
    ({"kind": "invariance", "change": "typos", "tolerance": 0.1}, "belongs to a direction"),
    ({"kind": "invariance", "change": "typos", "file": "must.csv"}, "belongs to a minimum"),
    ({"kind": "invariance", "replace": {"a": "b", "London": "London"}}, "'London' is replaced by"),
    ({"kind": "direction", "change": "typos"}, "needs the `label`"),
    ({"kind": "direction", "change": "typos", "label": "angri"}, "'angry'"),
    ({"kind": "invariance", "prefix": "x", "where": "lenght > 3"}, "'length'"),
    ({"kind": "minimum"}, "needs a `file`"),
    ({"kind": "minimum", "file": "must.csv", "prefix": "x"}, "has no `prefix`"),
    ({"kind": "minimum", "file": "must.csv", "by": "kid"}, "'kind'"),
    ({"kind": "minimum", "file": "odd.csv"}, "'calm'"),
    ({"kind": "minimum", "file": "bare.csv"}, "has no label"),
]


@pytest.mark.parametrize(("fields", "said"), REFUSED)
def test_what_cannot_be_tested_is_refused(fields: dict, said: str) -> None:
    tested = _tested(Behaviour(name="t", **fields))
    cases = {
        "must.csv": CASES,
        "odd.csv": _examples(["x"], ["calmm"]),
        "bare.csv": _examples(["x"], [None]),
    }
    with pytest.raises(InputError) as refused:
        check_declared(tested.task, LABELS, tested.inputs, cases)
    assert said in str(refused.value)
    assert "behaviour t" in (refused.value.where or "")


def test_two_tests_of_one_name_are_refused() -> None:
    test = Behaviour(name="t", kind="invariance", prefix="x")
    tested = _tested(test, test)
    with pytest.raises(InputError, match="two tests"):
        check_declared(tested.task, LABELS, tested.inputs)
