"""Conformal sets cover as often as they say."""

import numpy as np
import pytest

from milepost.metrics.knowing.conformal import (
    actual_scores,
    conformal_threshold,
    covered,
    label_scores,
    prediction_sets,
)


def drawn(rng, n, k=4):
    y = rng.integers(0, k, n)
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), y] += 1.5
    p = np.exp(logits)
    return p / p.sum(axis=1, keepdims=True), y


def test_threshold_is_the_rank_that_the_theorem_names():
    scores = np.arange(1.0, 10.0)  # n = 9
    assert conformal_threshold(scores, 0.9) == 9.0
    assert conformal_threshold(scores, 0.5) == 5.0
    assert conformal_threshold(scores, 0.95) == np.inf


def test_a_sure_threshold_falls_short_rarely():
    rng = np.random.default_rng(2)
    limits = np.array([conformal_threshold(rng.random(300), 0.95, 0.95) for _ in range(1000)])
    assert (limits < 0.95).mean() <= 0.05 + 0.021
    assert (limits < 0.95).mean() >= 0.01
    usual = np.array([conformal_threshold(rng.random(300), 0.95) for _ in range(1000)])
    assert (usual < 0.95).mean() > 0.3
    assert conformal_threshold(rng.random(58), 0.95, 0.95) == np.inf
    assert conformal_threshold(rng.random(59), 0.95, 0.95) < np.inf


def test_aps_adds_up_the_labels_above():
    scores = label_scores(np.array([[0.2, 0.5, 0.3]]), "aps")
    np.testing.assert_allclose(scores, [[1.0, 0.5, 0.8]])


def test_a_set_is_never_empty_and_never_holds_an_unknown_label():
    p = np.array([[0.4, 0.35, 0.25]])
    sets = prediction_sets(p, 0.0)
    assert sets.tolist() == [[True, False, False]]
    assert not covered(np.ones((1, 3), bool), np.array([-1]))[0]
    assert actual_scores(p, np.array([-1]))[0] == np.inf


@pytest.mark.parametrize("score", ["lac", "aps"])
@pytest.mark.parametrize("n", [25, 200])
def test_coverage_over_repeats(score, n):
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(1000):
        p, y = drawn(rng, n + 20)
        threshold = conformal_threshold(actual_scores(p[:n], y[:n], score), 0.9)
        hits.append(covered(prediction_sets(p[n:], threshold, score), y[n:]).mean())
    # Standard error of the mean of a thousand repeats is below 0.003.
    assert np.mean(hits) >= 0.9 - 0.009
