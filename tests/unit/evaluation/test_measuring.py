from pathlib import Path

import numpy as np
import pytest

from milepost.entities.errors import InputError
from milepost.entities.task import Objective, Task, make_objective
from milepost.evaluation.comparison import Pair, compare
from milepost.evaluation.measuring import (
    check_objective,
    measure_of,
    order_note,
    own_file,
    row_units,
    try_measure,
)
from milepost.evaluation.scorecard import Evidence, build_scorecard
from milepost.metrics.scoring.measures import Sample

LABELS = ("a", "b", "c")
PROFIT = """
import numpy as np

def profit(actual, answers, probabilities):
    return np.where(actual == answers, 2.0, -5.0).mean()

def loss(actual, answers, probabilities):
    return -profit(actual, answers, probabilities)

loss.lower_is_better = True

def broken(actual, answers, probabilities):
    return probabilities["a"]

def endless(actual, answers, probabilities):
    return float("inf")
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "value.py").write_text(PROFIT)
    return tmp_path


def rows(n=120, right=100):
    y = np.arange(n) % 3
    answers = np.where(np.arange(n) < right, y, (y + 1) % 3)
    return Sample(y, np.eye(3, dtype=np.float32)[answers] * 0.7 + 0.1)


def test_a_function_of_the_user_is_a_measure_like_any_other(folder):
    objective = Objective(
        metric="own:value.py:profit", slices={"half": "n < 60"}, max_slice_gap=0.5
    )
    measure = measure_of(objective, LABELS, folder)
    found = rows()
    card = build_scorecard(
        Evidence(
            labels=LABELS,
            objective=objective,
            regime="holdout",
            y=found.y,
            probabilities=found.probabilities,
            ids=tuple(str(i) for i in range(120)),
            texts=("",) * 120,
            slice_masks={"half": np.arange(120) < 60},
            measure=measure,
        )
    )
    value = (100 * 2.0 - 20 * 5.0) / 120
    assert card.objective.value == pytest.approx(value)
    assert card.objective.low < value < card.objective.high
    assert card.slices[0].gap == pytest.approx(7.0 * (40 / 60 - 1.0))
    assert card.slices[0].gap_high < 0.0
    pair = Pair(
        against="other",
        metric=objective.metric,
        k=3,
        y=found.y,
        answers=found.answers,
        other=rows(right=70).answers,
        measure=measure,
        probabilities=(found.probabilities, rows(right=70).probabilities),
    )
    better = compare(pair)
    assert better.difference == pytest.approx(7.0 * 30 / 120)
    assert better.p_value < 0.001 < 0.9 < better.p_worse
    assert 0.0 < better.low < better.difference < better.high


def test_a_slice_with_a_higher_loss_is_worse(folder):
    objective = Objective(metric="own:value.py:loss", slices={"late": "n"})
    measure = measure_of(objective, LABELS, folder)
    assert not measure.higher
    found = rows()
    card = build_scorecard(
        Evidence(
            labels=LABELS,
            objective=objective,
            regime="holdout",
            y=found.y,
            probabilities=found.probabilities,
            ids=("x",) * 120,
            texts=("",) * 120,
            slice_masks={"late": np.arange(120) >= 60},
            measure=measure,
        )
    )
    assert card.slices[0].gap > 0.0
    assert card.slices[0].p_value < 0.05


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("own:value.py:profits", "Did you mean 'profit'"),
        ("own:none.py:profit", "none.py cannot be used"),
        ("own:value.py:broken", "the function failed"),
        ("own:value.py:endless", "not a finite number"),
        ("own:../value.py:profit", "outside the workspace"),
        ("f1:aa", "Did you mean 'a'"),
        ("recall:nothing", "which does not exist"),
    ],
)
def test_what_cannot_be_used_is_said_before_a_fit(folder, name, said):
    with pytest.raises(InputError) as error:
        try_measure(measure_of(Objective(metric=name), LABELS, folder), 3)
    assert said in str(error.value)


def test_ordered_labels_are_numbers_or_listed_in_their_order(folder):
    stars = Sample(np.array([0, 1, 2]), np.eye(3, dtype=np.float32)[[2, 1, 2]])
    objective = Objective(metric="mae", at_most=0.5)
    assert measure_of(objective, ("1", "10", "2"), folder, ordered=False).value(stars) == (1 / 3)
    assert measure_of(objective, LABELS, folder).value(stars) == pytest.approx(2 / 3)
    with pytest.raises(InputError, match="lowest first"):
        measure_of(objective, LABELS, folder, ordered=False)


def task(labels=LABELS, **objective):
    return Task(name="t", labels=dict.fromkeys(labels, ""), objective=Objective(**objective))


@pytest.mark.parametrize(
    ("objective", "where", "said"),
    [
        ({"metric": "own:value.py:loss", "at_least": -4.0}, "at_least", "Use at_most"),
        ({"metric": "own:value.py:profit", "at_most": 4.0}, "at_most", "Use at_least"),
        (
            {"metric": "utility", "at_least": 5.0, "costs": {"a": {"b": 5.0}}},
            "at_least",
            "5 is out of reach: utility is at most 0 with",
        ),
        (
            {"metric": "utility", "at_least": 2.5, "costs": {"a": {"a": -2.0}}},
            "at_least",
            "is at most 2 with",
        ),
        ({"metric": "hit_rate@3", "at_least": 0.5}, "metric", "must be below 3"),
        ({"metric": "mae"}, "metric", "a < b < c"),
        ({"metric": "mae", "order": ("a", "b")}, "order", "leaves out c"),
        ({"metric": "mae", "order": ("a", "b", "c", "cc")}, "order", "'cc'"),
    ],
)
def test_what_no_answers_can_reach_is_refused(folder, objective, where, said):
    with pytest.raises(InputError) as error:
        check_objective(task(**objective), LABELS, folder)
    assert error.value.where == f"objective.{where}"
    assert said in str(error.value)


@pytest.mark.parametrize(
    "objective",
    [
        {"metric": "own:value.py:profit", "at_least": -3.0},
        {"metric": "own:value.py:profit", "at_least": 1.5},
        {"metric": "own:value.py:loss", "at_most": 4.0},
        {"metric": "utility", "at_least": 2.0, "costs": {"a": {"a": -2.0}}},
        {"metric": "utility", "at_least": -0.5, "costs": {"a": {"b": 5.0}}},
        {"metric": "hit_rate@2", "at_least": 0.5},
        {"metric": "mae", "order": LABELS, "at_most": 1.0},
        {"metric": "log_loss", "at_most": 30.0},
    ],
)
def test_what_can_be_reached_is_not(folder, objective):
    check_objective(task(**objective), LABELS, folder)


def test_an_order_is_that_of_numbers_or_somebody_said_it(folder):
    listed, numbers = ("low", "high", "higher"), ("1", "10", "2")
    for labels in (listed, numbers, ("no", "yes")):
        check_objective(task(labels, metric="kendall"), labels, folder)
    # Labels that the data holds are sorted.
    with pytest.raises(InputError, match="alphabetically, high < higher < low"):
        check_objective(task((), metric="kendall"), tuple(sorted(listed)), folder)
    said = Objective(metric="mae", order=("c", "a", "b"))
    found = Sample(np.array([2]), np.eye(3, dtype=np.float32)[[1]])
    assert measure_of(said, LABELS, folder).value(found) == 2.0
    assert order_note(said, LABELS) == "Order: c < a < b."
    assert order_note(Objective(metric="mae"), numbers) == "Order: 1 < 2 < 10."
    assert order_note(Objective(), LABELS) is None
    assert order_note(Objective(metric="mae"), tuple(map(str, range(99)))).count("<") == 12


def test_the_scorecard_names_the_order():
    found = rows()
    objective = Objective(metric="spearman", order=("b", "a", "c"))
    card = build_scorecard(
        Evidence(
            labels=LABELS,
            objective=objective,
            regime="holdout",
            y=found.y,
            probabilities=found.probabilities,
            ids=("x",) * 120,
            texts=("",) * 120,
            measure=measure_of(objective, LABELS, Path()),
        )
    )
    assert card.notes == ("Order: b < a < c.",)


def test_near_duplicates_are_units_and_the_scorecard_says_so():
    assert row_units(["a", "b"]) is None
    found = rows()
    groups = [f"g{i // 4}" for i in range(120)]

    def card(units):
        return build_scorecard(
            Evidence(
                labels=LABELS,
                objective=Objective(),
                regime="test_file",
                y=found.y,
                probabilities=found.probabilities,
                ids=("x",) * 120,
                texts=("",) * 120,
                units=units,
            )
        )

    alone, together = card(None), card(row_units(groups))
    for name, estimate in together.metrics.items():
        assert estimate.high - estimate.low > alone.metrics[name].high - alone.metrics[name].low
    assert together.labels[0].recall.low < alone.labels[0].recall.low
    assert together.labels[0].recall.n == 40
    assert any("30 groups" in note for note in together.notes)
    assert not alone.notes


def test_the_file_of_a_measure_is_found_inside_the_workspace_only(folder):
    assert own_file(Objective(), folder) is None
    assert own_file(Objective(metric="own:value.py:profit"), folder) == folder / "value.py"


def test_costs_are_by_name(folder):
    objective = Objective(metric="utility", at_least=-1.0, costs={"a": {"b": 30.0, "a": -1.0}})
    measure = measure_of(objective, LABELS, folder)
    answers = np.array([1, 0, 2, 0])
    found = Sample(np.array([0, 0, 0, 1]), np.eye(3, dtype=np.float32)[answers])
    assert measure.value(found) == pytest.approx((-30.0 + 1.0) / 4)
    wrong = Objective(metric="utility", costs={"aa": {"b": 1.0}})
    with pytest.raises(InputError, match="'aa'"):
        measure_of(wrong, LABELS, folder)


@pytest.mark.parametrize(
    ("metric", "at_least", "at_most", "said"),
    [
        ("log_loss", 0.5, None, "use at_most"),
        ("auroc", None, 0.5, "use at_least"),
        ("auroc", 1.5, None, "out of range"),
        ("log_los", None, None, "Did you mean 'log_loss'"),
        ("utility", None, None, "costs"),
        ("own:a.py:f", float("inf"), None, "not a finite number"),
    ],
)
def test_objectives_that_do_not_fit_are_refused(metric, at_least, at_most, said):
    with pytest.raises(InputError) as error:
        make_objective(metric, at_least, at_most)
    assert said in str(error.value)


def test_a_ceiling_fits_what_is_better_when_lower():
    assert make_objective("brier", at_most=0.2).ceiling == 0.2
    assert make_objective("own:a.py:f", at_most=-3.0).ceiling == -3.0


@pytest.mark.parametrize(
    ("metric", "order", "said"),
    [("accuracy", ("a", "b"), "only"), ("mae", ("a", "b", "a"), "twice")],
)
def test_an_order_has_each_label_once_and_a_metric_that_uses_it(metric, order, said):
    with pytest.raises(ValueError, match=said):
        Objective(metric=metric, order=order)
