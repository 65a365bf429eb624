import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri

from milepost.metrics.inference.intervals import Sampling, estimate
from milepost.metrics.inference.selection import Ties, best_of


def candidates(n, rates, correlation, rng, k=3):
    y = rng.integers(0, k, n)
    common = rng.standard_normal(n)
    answers = np.empty((len(rates), n), np.int64)
    for i, rate in enumerate(rates):
        mixed = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * rng.standard_normal(n)
        answers[i] = np.where(mixed < ndtri(rate), y, (y + rng.integers(1, k, n)) % k)
    return y, answers


@pytest.mark.parametrize("n", [30, 100, 500])
def test_choosing_among_equals_is_corrected(n):
    """Six equally good, correlated candidates: the floor is their true quality."""
    rng = np.random.default_rng(n)
    runs, rate = 150, 0.85
    found = [
        best_of("accuracy", *candidates(n, [rate] * 6, 0.8, rng), 3, Sampling(resamples=200))
        for _ in range(runs)
    ]
    error = np.sqrt(rate * (1 - rate) / n)
    naive = np.mean([best.naive for best in found]) - rate
    corrected = np.mean([best.estimate.value for best in found]) - rate
    assert naive > 0.4 * error
    assert abs(corrected) < 0.45 * naive
    released = np.mean([best.estimate.at_least > rate for best in found])
    assert released <= 0.05 + 4.0 * np.sqrt(0.05 * 0.95 / runs)
    covered = np.mean([best.estimate.low <= rate <= best.estimate.high for best in found])
    assert covered >= 0.93 - 4.0 * np.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize("metric", ["macro_f1", "balanced_accuracy", "mcc"])
def test_other_metrics_are_corrected_too(metric):
    rng = np.random.default_rng(3)
    optimism = [
        best_of(metric, *candidates(60, [0.8] * 6, 0.5, rng), 3, Sampling(resamples=200)).optimism
        for _ in range(40)
    ]
    assert min(optimism) >= 0.0
    assert 0.02 < np.mean(optimism) < 0.12


def test_a_clear_winner_is_not_punished():
    rng = np.random.default_rng(0)
    y, answers = candidates(400, [0.95, 0.6, 0.6, 0.3], 0.3, rng)
    best = best_of("accuracy", y, answers, 3)
    assert best.chosen == 0
    assert best.optimism < 1e-3


@given(st.integers(2, 40), st.integers(1, 4), st.integers(0, 10**6))
@settings(max_examples=40)
def test_correction_only_ever_lowers_and_one_candidate_needs_none(n, m, seed):
    rng = np.random.default_rng(seed)
    y, answers = candidates(n, rng.uniform(0.3, 0.99, m), 0.5, rng)
    sampling = Sampling(resamples=100, seed=seed)
    best = best_of("macro_f1", y, answers, 3, sampling)
    assert best.optimism >= 0.0
    assert best.estimate.low <= best.estimate.at_least <= best.estimate.value <= best.naive
    assert best == best_of("macro_f1", y, answers, 3, sampling)
    alone = best_of("macro_f1", y, answers[:1], 3, sampling)
    assert alone.estimate == estimate("macro_f1", y, answers[0], 3, sampling)


def test_ties_go_to_the_first():
    y = np.array([0, 1, 0, 1])
    assert best_of("accuracy", y, np.stack([1 - y, y, y]), 2).chosen == 1


def test_within_two_standard_errors_the_lower_log_loss_is_chosen():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    first, second = y.copy(), y.copy()
    first[:80] = 1 - first[:80]
    second[-82:] = 1 - second[-82:]
    answers = np.stack([first, second])
    losses = np.stack([np.full(400, 0.9), np.full(400, 0.4)])
    assert best_of("accuracy", y, answers, 2).chosen == 0
    assert best_of("accuracy", y, answers, 2, None, Ties(losses=losses)).chosen == 1


def test_a_clearly_better_metric_is_chosen_whatever_the_losses():
    y = np.tile([0, 1], 200)
    worse = y.copy()
    worse[:120] = 1 - worse[:120]
    losses = np.stack([np.full(400, 0.1), np.full(400, 3.0)])
    ties = Ties(losses=losses, trust=np.array([0, 1]))
    assert best_of("macro_f1", y, np.stack([worse, y]), 2, None, ties).chosen == 1


def test_among_those_near_the_best_the_most_trusted_is_chosen_before_the_log_loss():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    answers = np.stack([np.where(rng.random(400) < 0.2, 1 - y, y) for _ in range(3)])
    noise = rng.normal(0.0, 9.0, (3, 400))
    losses = np.array([[0.4], [0.9], [0.5]]) + noise - noise.mean(axis=1, keepdims=True)
    for trust, chosen in (([2, 0, 1], 1), ([2, 1, 0], 2), ([0, 0, 0], 0)):
        ties = Ties(losses=losses, trust=np.array(trust))
        assert best_of("accuracy", y, answers, 2, None, ties).chosen == chosen


def test_the_most_trusted_is_out_where_another_one_is_no_worse_and_its_log_loss_is_lower():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    wrong = y.copy()
    wrong[:80] = 1 - wrong[:80]
    answers = np.stack([wrong, wrong])
    noise = rng.normal(0.0, 1.0, 400)
    for gain, chosen in ((0.02, 0), (0.3, 1)):
        losses = np.stack([np.full(400, 0.7), 0.7 - gain + noise - noise.mean()])
        ties = Ties(losses=losses, trust=np.array([0, 1]))
        assert best_of("accuracy", y, answers, 2, None, ties).chosen == chosen


def test_trust_makes_the_luck_of_being_chosen_small():
    """Equally good candidates: where the same one is nearly always taken, nothing is taken off."""
    rng = np.random.default_rng(1)
    y, answers = candidates(60, [0.8] * 5, 0.5, rng)
    losses = np.zeros(answers.shape)
    trusted = best_of("accuracy", y, answers, 3, None, Ties(losses=losses, trust=np.arange(5)))
    assert trusted.optimism < 0.5 * best_of("accuracy", y, answers, 3).optimism
