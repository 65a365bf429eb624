"""From which probability a label is answered, so that F1 is highest."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.entities.prediction import HOLDS, LabelSets, recentred
from milepost.metrics.scoring.label_sets import macro_f1, micro_f1
from milepost.metrics.scoring.measures import Sample
from milepost.metrics.scoring.thresholds import chosen_thresholds


def calibrated(rng, n, k):
    """Probabilities that are what they say, and the labels that came of them."""
    odds = rng.normal(-2.0, 1.5, (n, k)) - np.linspace(0.0, 2.0, k)
    p = (1.0 / (1.0 + np.exp(-odds))).astype(np.float32)
    y = np.zeros((n, k + 1), np.int8)
    y[:, :k] = rng.random((n, k)) < p
    return p, y


@pytest.mark.parametrize(
    ("metric", "measure"), [("micro_f1", micro_f1()), ("macro_f1", macro_f1())]
)
def test_new_rows_get_a_higher_f1_than_at_one_half(metric, measure):
    rng = np.random.default_rng(3)
    p, y = calibrated(rng, 400, 8)
    limits = chosen_thresholds(p, y, metric)
    assert limits.shape == (8,)
    assert ((limits >= 0.01) & (limits <= 0.99)).all()
    new, truth = calibrated(rng, 4000, 8)
    at_half = measure.value(Sample(truth, new))
    at_limits = measure.value(Sample(truth, recentred(new, limits)))
    assert at_limits > at_half + 0.05


def test_one_half_of_the_best_f1_is_the_common_threshold_of_many_rows():
    """Lipton, Elkan & Narayanaswamy 2014, of calibrated probabilities."""
    rng = np.random.default_rng(5)
    p, y = calibrated(rng, 20_000, 4)
    limit = float(np.median(chosen_thresholds(p, y, "micro_f1")))
    best = micro_f1().value(Sample(y, recentred(p, np.full(4, limit, np.float32))))
    assert limit == pytest.approx(best / 2.0, abs=0.05)


def test_a_label_without_an_example_has_the_threshold_of_all():
    rng = np.random.default_rng(1)
    p, y = calibrated(rng, 200, 3)
    y[:, 2] = 0
    limits = chosen_thresholds(p, y, "macro_f1")
    every = chosen_thresholds(p.reshape(-1, 1), np.c_[y[:, :3].reshape(-1, 1)], "macro_f1")
    assert min(limits[:2]) - 0.2 < limits[2] < max(limits[:2]) + 0.2
    assert limits[2] == pytest.approx(every[0], abs=0.02)


def test_where_nothing_holds_it_is_one_half():
    limits = chosen_thresholds(np.full((5, 2), 0.3, np.float32), np.zeros((5, 3)), "micro_f1")
    assert limits.tolist() == [0.5, 0.5]


@given(
    st.lists(st.floats(0.0, 1.0, width=32), min_size=1, max_size=20),
    st.floats(0.015625, 0.984375, width=32),
)
def test_what_reaches_its_threshold_is_at_one_half_or_above_afterwards(values, limit):
    p = np.array(values, np.float32)[:, None]
    found = LabelSets(("a",), p, thresholds=np.array([limit], np.float32))
    assert ((found.judged >= HOLDS) == (p >= np.float32(limit))).all()
    assert ((found.judged >= 0.0) & (found.judged <= 1.0)).all()
    assert (np.diff(found.judged[np.argsort(p[:, 0], kind="stable"), 0]) >= 0.0).all()


def test_an_answer_is_as_sure_as_its_labels_are_probable():
    p = np.array([[0.3, 0.1]], np.float32)
    found = LabelSets(("a", "b"), p, thresholds=np.array([0.25, 0.25], np.float32))
    assert found.answers == (("a",),)
    assert found.confidence[0] == pytest.approx(0.3 * 0.9)
