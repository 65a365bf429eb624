"""Measures of any number of labels, held against scikit-learn and against leaving rows out."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss

from milepost.metrics.inference.intervals import estimate_of
from milepost.metrics.scoring import label_sets
from milepost.metrics.scoring.measures import Sample

MEASURES = (label_sets.exact_match, label_sets.micro_f1, label_sets.macro_f1, label_sets.log_loss)


def drawn(n=300, k=4, seed=0):
    rng = np.random.default_rng(seed)
    y = (rng.random((n, k)) < [0.5, 0.3, 0.2, 0.1][:k]).astype(np.int8)
    p = np.clip(0.25 + 0.5 * y + 0.3 * rng.normal(size=(n, k)), 0.01, 0.99)
    return Sample(np.hstack([y, np.zeros((n, 1), np.int8)]), p.astype(np.float32))


def test_values_are_those_of_scikit_learn():
    sample = drawn()
    y, held = sample.y[:, :4], sample.probabilities >= 0.5
    assert label_sets.micro_f1().value(sample) == pytest.approx(f1_score(y, held, average="micro"))
    assert label_sets.macro_f1().value(sample) == pytest.approx(f1_score(y, held, average="macro"))
    assert label_sets.exact_match().value(sample) == pytest.approx(accuracy_score(y, held))
    losses = [log_loss(y[:, at], sample.probabilities[:, at], labels=[0, 1]) for at in range(4)]
    assert label_sets.log_loss().value(sample) == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.mark.parametrize("make", MEASURES)
def test_what_each_row_says_is_what_leaving_it_out_changes(make):
    sample, measure = drawn(n=120), make()
    reading, n = measure.reading(sample), len(sample.y)
    left = np.array([measure.value(sample.take(np.arange(n) != row)) for row in range(n)])
    pseudo = reading.value + (n - 1) * (reading.value - left)
    assert np.corrcoef(pseudo, reading.means)[0, 1] > 0.99
    assert reading.means.mean() == pytest.approx(reading.value)


def test_a_label_that_the_task_does_not_know_counts_as_missed():
    sample = drawn()
    y = sample.y.copy()
    y[:100, -1] = 1
    worse = Sample(y, sample.probabilities)
    for make in (label_sets.exact_match, label_sets.micro_f1):
        assert make().value(worse) < make().value(sample)


def test_nothing_wanted_and_nothing_given_is_right():
    nothing = Sample(np.zeros((5, 4), np.int8), np.full((5, 3), 0.1, np.float32))
    for make in (label_sets.exact_match, label_sets.micro_f1, label_sets.macro_f1):
        assert make().value(nothing) == 1.0


@pytest.mark.parametrize("make", [label_sets.micro_f1, label_sets.macro_f1])
def test_bounds_hold_the_truth_about_as_often_as_they_say(make):
    measure, whole = make(), drawn(n=40_000, seed=1)
    truth, missed, tries = measure.value(whole), 0, 300
    for seed in range(tries):
        rows = np.random.default_rng(seed).integers(0, len(whole.y), 150)
        found = estimate_of(measure.found(whole.take(rows)), 0.95)
        missed += not found.low <= truth <= found.high
    assert missed <= 0.09 * tries
