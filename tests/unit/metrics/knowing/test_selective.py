"""Thresholds with a guarantee, and the risk-coverage curve."""

import numpy as np
import pytest

from milepost.metrics.inference.intervals import Sampling
from milepost.metrics.knowing.selective import (
    Given,
    area,
    certified,
    curve,
    fallback,
    given,
    p_value,
    rows_to_certify,
    surest,
    thresholds,
)


def drawn(rng, n):
    """Calibrated confidences; the risk above a confidence c is (1 - c) / 3."""
    doubt = rng.random(n)
    return 1.0 - 0.5 * doubt**2, rng.random(n) >= 0.5 * doubt**2


def true_risk(threshold):
    return min(1.0 - threshold, 0.5) / 3.0


@pytest.mark.parametrize("at_most_wrong", [0.01, 0.05, 0.3, 0.9])
def test_thresholds_fall_to_answering_everything(at_most_wrong):
    tried = thresholds(at_most_wrong)
    assert (np.diff(tried) < 0).all()
    assert tried[-1] == 0.0


def test_given_counts_answers_and_mistakes():
    found = given(np.array([0.9, 0.5, 0.7]), np.array([True, False, False]), np.array([0.7, 0.0]))
    assert found == [
        Given(threshold=0.7, answered=2, wrong=1),
        Given(threshold=0.0, answered=3, wrong=2),
    ]


def test_p_value_is_the_binomial_tail():
    assert p_value(Given(threshold=0.5, answered=149, wrong=0), 0.02) == pytest.approx(0.98**149)
    assert p_value(Given(threshold=0.5, answered=0, wrong=0), 0.02) == 1.0


def test_fallback_hands_the_error_on_only_after_a_rejection():
    p = np.array([0.02, 0.04, 0.06, 0.001])
    even = np.full(4, 0.025)
    assert fallback(p, even).tolist() == [True, True, True, True]
    assert fallback(p[::-1], even).tolist() == [True, False, False, True]
    first = np.array([0.05, 0.0, 0.0, 0.0])
    assert fallback(p, first).tolist() == [True, True, False, False]


@pytest.mark.parametrize("ordered", [False, True])
def test_certified_thresholds_break_the_bound_rarely(ordered):
    rng = np.random.default_rng(1)
    at_most = 0.05
    tried = thresholds(at_most)
    broken = found = 0
    for _ in range(1000):
        start = surest(given(*drawn(rng, 500), tried), at_most, 500, 800) if ordered else None
        kept = certified(given(*drawn(rng, 800), tried), at_most, 0.95, start)
        if kept is not None:
            found += 1
            broken += true_risk(kept.threshold) > at_most
    assert found > 500
    assert broken / 1000 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1000)


def test_nothing_is_certified_where_everything_is_a_guess():
    rng = np.random.default_rng(2)
    found = given(rng.random(400), rng.random(400) < 0.5, thresholds(0.1))
    assert certified(found, 0.1, 0.95) is None
    assert rows_to_certify([Given(threshold=0.0, answered=400, wrong=200)], 0.1, 0.95, 400) is None


def test_rows_to_certify_would_do():
    found = [Given(threshold=0.5, answered=50, wrong=0)]
    rows = rows_to_certify(found, 0.05, 0.95, 50)
    assert rows is not None
    assert 50 < rows < 1000


def test_curve_ends_with_every_row_answered():
    confidence, right = drawn(np.random.default_rng(3), 230)
    points = curve(confidence, right)
    assert len(points) <= 20
    assert points[-1].answered == 230
    assert points[-1].wrong == int((~right).sum())


def test_area_of_few_mistakes_is_not_claimed():
    assert area(np.linspace(0, 1, 200), np.ones(200, bool), Sampling()) is None
    assert area(np.linspace(0, 1, 50), np.arange(50) > 20, Sampling()) is None


def test_area_covers():
    rng = np.random.default_rng(4)
    truth = np.mean([_area(*drawn(rng, 4000)) for _ in range(30)])
    inside = 0
    for seed in range(100):
        found = area(*drawn(rng, 400), Sampling(resamples=200, seed=seed))
        inside += found is not None and found.low <= truth <= found.high
    assert inside / 100 >= 0.88


def _area(confidence, right):
    wrong = ~right[np.argsort(-confidence)]
    return (np.cumsum(wrong) / np.arange(1, len(wrong) + 1)).mean()
