import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from milepost.metrics.scoring.calibration import calibration, fit_temperature


def drawn(n, k, scale, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((n, k)) * 2.0
    shares = softmax(logits, axis=1)
    y = (shares.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return logits * scale, y


@pytest.mark.parametrize("scale", [0.01, 1.0, 40.0, 1e5])
def test_the_temperature_undoes_a_scale(scale):
    logits, y = drawn(4000, 5, scale)
    assert fit_temperature(logits, y) == pytest.approx(scale, rel=0.06)


def test_the_temperature_minimises_the_log_loss():
    logits, y = drawn(3000, 4, 3.0, seed=3)

    def loss(log_t):
        return -log_softmax(logits / np.exp(log_t), axis=1)[np.arange(len(y)), y].mean()

    best = float(np.exp(minimize_scalar(loss, bounds=(-5, 5), method="bounded").x))
    assert fit_temperature(logits, y) == pytest.approx(best, rel=0.01)


def test_logits_without_an_error_give_a_finite_temperature():
    logits = np.eye(3)[np.tile([0, 1, 2], 5)] * 10.0
    y = np.tile([0, 1, 2], 5)
    temperature = fit_temperature(logits, y)
    assert 0.0 < temperature < np.inf
    assert 0.8 < softmax(logits / temperature, axis=1).max() < 1.0


@pytest.mark.parametrize(
    ("logits", "y"),
    [(np.zeros((0, 3)), []), (np.ones((4, 2)), [0, 1, 0, 1]), (np.eye(2), [-1, -1])],
)
def test_nothing_to_fit_gives_one(logits, y):
    assert fit_temperature(logits, np.array(y, np.int64)) == 1.0


@given(st.integers(1, 40), st.integers(2, 6), st.integers(0, 10**6))
@settings(max_examples=60)
def test_any_logits_give_a_positive_finite_temperature(n, k, seed):
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((n, k)) * 10.0 ** rng.integers(-6, 7)
    temperature = fit_temperature(logits, rng.integers(-1, k, n))
    assert 0.0 < temperature < np.inf


def test_a_calibrated_model_shows_about_the_error_it_should():
    logits, y = drawn(2000, 4, 1.0, seed=5)
    good = calibration(y, softmax(logits, axis=1).astype(np.float32), 1.0)
    bad = calibration(y, softmax(logits * 4.0, axis=1).astype(np.float32), 0.25)
    assert good.ece == pytest.approx(good.ece_if_perfect, abs=0.015)
    assert bad.ece > 5.0 * bad.ece_if_perfect
    assert len(good.bins) == 15
    assert sum(b.n for b in good.bins) == 2000
    assert max(b.n for b in good.bins) - min(b.n for b in good.bins) <= 1
    assert all(b.low <= b.accuracy <= b.high for b in good.bins)
    assert [b.confidence for b in good.bins] == sorted(b.confidence for b in good.bins)


def test_few_rows_make_few_bins_and_unknown_labels_are_wrong():
    shares = np.array([[0.9, 0.1], [0.6, 0.4]], np.float32)
    found = calibration(np.array([0, -1]), shares, 1.0)
    assert [b.accuracy for b in found.bins] == [0.0, 1.0]
    assert found.ece == pytest.approx((0.6 + 0.1) / 2, abs=1e-6)
