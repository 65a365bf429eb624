"""The membership attack knows a memoriser from one that tells nothing, and its null holds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.metrics.auditing.membership import (
    area_estimate,
    likelihood_ratios,
    logit_confidence,
    rate_estimate,
    roc_area,
    true_positive_rate,
)


def attack(seed, shift, shadows=16, rows=300):
    """Confidences that rise by ``shift`` standard deviations for members."""
    rng = np.random.default_rng(seed)
    members = rng.random((shadows, rows)) < 0.5
    base = rng.normal(0, 3, rows)
    confidences = base + rng.normal(0, 1, (shadows, rows)) + shift * members
    return likelihood_ratios(confidences, members), members


def test_a_memoriser_is_caught():
    found, members = attack(0, 8.0)
    assert true_positive_rate(found.scores, members, 0.01) > 0.98
    assert roc_area(found.scores, members) > 0.999
    assert np.median(found.effect) == pytest.approx(8.0, abs=1.0)


def test_a_shift_of_some_deviations_is_recognised_as_often_as_theory_says():
    # With known means the attack is Neyman-Pearson: TPR = Phi(shift - z_0.99).
    found, members = attack(1, 3.0, shadows=64, rows=2000)
    assert true_positive_rate(found.scores, members, 0.01) == pytest.approx(0.75, abs=0.03)


def test_nothing_is_learned_where_membership_does_not_matter():
    """Over 200 attacks on independent confidences the intervals hold what guessing would give."""
    rates, areas, covered = [], [], 0
    for seed in range(200):
        found, members = attack(seed, 0.0, shadows=8, rows=150)
        area = roc_area(found.scores, members)
        interval = rate_estimate(found.scores, members, np.arange(150), 0.01, 0.95)
        around = area_estimate(area, 150, 0.95)
        covered += interval.low <= 0.01 <= interval.high and around.low <= 0.5 <= around.high
        rates.append(interval.value)
        areas.append(area)
    assert np.mean(rates) == pytest.approx(0.01, abs=0.002)
    assert np.mean(areas) == pytest.approx(0.5, abs=0.005)
    assert covered >= 190


@pytest.mark.parametrize(("shadows", "rows"), [(6, 300), (16, 100)])
def test_the_interval_pays_for_the_threshold(shadows, rows):
    """A rise of two deviations everywhere: a steep curve, where the threshold is what is unsure."""
    limit = np.mean(
        [true_positive_rate(a.scores, m, 0.01)
         for a, m in (attack(seed, 2.0, shadows, 20_000) for seed in range(3))]
    )  # fmt: skip
    covered = 0
    for seed in range(200):
        found, members = attack(seed, 2.0, shadows, rows)
        each = rate_estimate(found.scores, members, np.arange(rows), 0.01, 0.95)
        covered += each.low <= limit <= each.high
    assert covered >= 184


def test_copies_of_a_group_are_one_draw():
    found, members = attack(3, 2.0, shadows=8, rows=200)
    plain = rate_estimate(found.scores, members, np.arange(200), 0.01, 0.95)
    copied = np.repeat(found.scores, 3, axis=1), np.repeat(members, 3, axis=1)
    grouped = rate_estimate(*copied, np.repeat(np.arange(200), 3), 0.01, 0.95)
    assert grouped.n == plain.n == 200
    assert grouped.value == pytest.approx(plain.value, abs=0.01)
    assert grouped.high - grouped.low == pytest.approx(plain.high - plain.low, rel=0.1)


def test_equal_answers_give_the_rate_of_guessing():
    members = np.random.default_rng(0).random((8, 50)) < 0.5
    found = likelihood_ratios(np.zeros((8, 50)), members)
    assert true_positive_rate(found.scores, members, 0.01) == pytest.approx(0.01)
    assert roc_area(found.scores, members) == pytest.approx(0.5)


def test_rows_without_a_shadow_on_one_side_take_the_shift_of_the_rest():
    rng = np.random.default_rng(2)
    members = rng.random((6, 100)) < 0.5
    members[:, 0], members[:, 1] = True, False
    confidences = rng.normal(0, 1, (6, 100)) + 6.0 * members
    found = likelihood_ratios(confidences, members)
    assert np.isfinite(found.scores).all()
    assert np.isfinite(found.effect).all()
    assert found.scores[:, 0].mean() > 0 > found.scores[:, 1].mean()


def test_rates_on_a_small_curve_by_hand():
    scores = np.array([4.0, 3.0, 2.0, 1.0])
    members = np.array([True, False, True, False])
    assert true_positive_rate(scores, members, 0.25) == pytest.approx(0.75)
    assert true_positive_rate(scores, members, 0.5) == pytest.approx(1.0)
    assert roc_area(scores, members) == pytest.approx(0.75)


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40))
def test_the_area_counts_pairs(seed, n):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 6, n).astype(float)
    members = np.append([True, False], rng.random(n - 2) < 0.5)
    pairs = scores[members][:, None] - scores[~members][None, :]
    expected = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
    assert roc_area(scores, members) == pytest.approx(expected)


def test_logit_confidences_are_finite_at_the_ends():
    probabilities = np.array([[1.0, 0.0], [0.5, 0.5]], np.float32)
    values = logit_confidence(probabilities, np.array([1, 0]))
    assert values[0] < -15
    assert values[1] == pytest.approx(0.0)


def test_too_few_predictors_are_refused():
    with pytest.raises(ValueError, match="four"):
        likelihood_ratios(np.zeros((3, 5)), np.zeros((3, 5), bool))
