"""Rows that decide nothing: no answer, and wrong for every measure."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from milepost.entities.prediction import NO_ANSWER, Predictions
from milepost.metrics.inference.comparison import mcnemar
from milepost.metrics.scoring import calibration_error, mean_measures, ordinal
from milepost.metrics.scoring.calibration import calibration
from milepost.metrics.scoring.classification import METRICS, score
from milepost.metrics.scoring.deciding import answer_name, decided, is_right
from milepost.metrics.scoring.label_measures import f1, precision, recall
from milepost.metrics.scoring.measures import Sample, counted, own
from milepost.predictors.base import Batch
from milepost.predictors.constant import ConstantPredictor

COSTS = np.array([[-1.0, 2.0, 5.0], [1.0, 0.0, 1.0], [3.0, 1.0, -2.0]])
MEASURES = [
    *map(counted, METRICS),
    ordinal.mae(np.arange(3.0)),
    mean_measures.utility(COSTS),
    mean_measures.hit_rate(2),
    precision(0, "precision"),
    recall(0, "recall"),
    f1(0, "f1"),
    own("right", lambda y, answers, _: float((answers == y)[y >= 0].mean()), higher=True),
]


def test_even_rows_decide_nothing():
    rows = np.array([[0.25] * 4, [0.25, 0.25, 0.25 + 1e-6, 0.25], [0.0] * 4], np.float32)
    assert decided(rows).tolist() == [-1, 2, -1]
    assert decided(np.stack([rows, rows[::-1]])).tolist() == [[-1, 2, -1], [-1, 2, -1]]
    assert decided(np.ones((2, 1), np.float32)).tolist() == [0, 0]
    assert decided(np.zeros((0, 3), np.float32)).tolist() == []
    assert is_right(np.array([-1, -1, 1, 1]), np.array([-1, 0, 1, 0])).tolist() == [0, 0, 1, 0]
    assert [answer_name(("a", "b"), each) for each in (0, -1)] == ["a", NO_ANSWER]


def test_predictions_withhold_what_is_not_decided():
    rows = np.array([[0.5, 0.5], [0.7, 0.3], [0.45, 0.55]], np.float32)
    given_ = Predictions(("a", "b"), rows)
    assert given_.answers == (None, "a", "b")
    assert given_.abstained.tolist() == [True, False, False]
    careful = Predictions(("a", "b"), rows, abstain_below=0.6)
    assert careful.answers == (None, "a", None)
    assert Predictions(("a",), np.ones((1, 1), np.float32)).answers == ("a",)


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
@given(
    y=st.lists(st.integers(0, 2), min_size=2, max_size=12),
    said=st.lists(st.integers(0, 2), min_size=12, max_size=12),
    row=st.integers(0, 11),
)
@example(y=[2, 1, 2, 0, 1], said=[1, 0, 1, 1, 2, *[0] * 7], row=1)
@settings(max_examples=40)
def test_no_answer_is_never_better_than_the_answer_and_never_better_than_a_wrong_one(
    measure, y, said, row
):
    actual, row = np.array(y), row % len(y)
    probabilities = np.full((len(y), 3), 0.2, np.float32)
    probabilities[np.arange(len(y)), said[: len(y)]] = 0.6
    silent = probabilities.copy()
    silent[row] = np.float32(1 / 3)
    right = probabilities.copy()
    right[row] = 0.2
    right[row, actual[row]] = 0.6
    value = measure.sign * measure.value(Sample(actual, silent))
    # Correlations and precision may gain from one wrong answer less, as they do for any label.
    assert value <= measure.sign * measure.value(Sample(actual, right)) + 1e-9
    found = measure.found(Sample(actual, silent))
    low, high = found.bounds(0.025)
    assert low <= found.value + 1e-9
    assert found.value <= high + 1e-9


@given(
    y=st.lists(st.integers(0, 3), min_size=2, max_size=30),
    said=st.lists(st.integers(-1, 3), min_size=30, max_size=30),
)
@settings(max_examples=60)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_metrics_are_those_of_a_further_answer_that_is_never_right(y, said):
    actual, answers = np.array(y), np.array(said[: len(y)])
    assert score("accuracy", actual, answers, 4) == sk.accuracy_score(actual, answers)
    assert score("micro_f1", actual, answers, 4) == pytest.approx(
        sk.f1_score(actual, answers, average="micro", zero_division=0)
    )
    assert score("mcc", actual, answers, 4) == pytest.approx(
        sk.matthews_corrcoef(actual, answers), abs=1e-9
    )
    there = np.unique(actual)
    assert score("balanced_accuracy", actual, answers, 4) == pytest.approx(
        sk.recall_score(actual, answers, average="macro", labels=there, zero_division=0)
    )
    used = np.unique([*there, *answers[answers >= 0]])
    assert score("macro_f1", actual, answers, 4) == pytest.approx(
        sk.f1_score(actual, answers, average="macro", labels=used, zero_division=0)
    )


def test_no_answer_to_an_unknown_label_is_not_right():
    y, even = np.array([-1, -1, 0, 1]), np.full((4, 2), 0.5, np.float32)
    sample = Sample(y, even)
    assert counted("accuracy").value(sample) == 0.0
    assert calibration(y, even, 1.0).bins[0].accuracy == 0.0
    assert calibration_error.ece().value(sample) == pytest.approx(0.5, abs=0.05)
    assert ordinal.spearman(np.arange(2.0)).value(sample) == 0.0
    assert ordinal.mae(np.arange(2.0)).value(sample) == 1.0
    assert mcnemar(y, decided(even), np.zeros(4, np.int64)).p_worse == 0.5


@pytest.mark.parametrize("k", [2, 3, 50])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_a_constant_answer_decides_even_where_all_labels_are_equally_frequent(k, temperature):
    labels = tuple(map(str, range(k)))
    even = ConstantPredictor(labels=labels, log_prior=np.log(np.full(k, 1.0 / k)))
    found = even.calibrated(temperature).predict(Batch(("a", "b")))
    assert decided(found.probabilities).tolist() == [0, 0]
    assert found.probabilities == pytest.approx(1.0 / k, rel=1e-4)
