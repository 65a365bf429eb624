"""Scores, AUROC and threshold of a detector."""

import numpy as np
import pytest

from milepost.metrics.inference.intervals import Measured
from milepost.metrics.knowing.scope import (
    SCORES,
    Geometry,
    auroc,
    auroc_estimate,
    choose_score,
    fit_slope,
    scope_scores,
)


def test_auroc_is_the_share_of_pairs_in_order():
    rng = np.random.default_rng(0)
    score, out = rng.integers(0, 8, 60).astype(float), rng.random(60) < 0.4
    pairs = score[out][:, None] - score[~out][None, :]
    assert auroc(score, out).value == pytest.approx(((pairs > 0) + (pairs == 0) / 2).mean())


def test_auroc_interval_covers():
    rng = np.random.default_rng(1)
    truth = 0.760249938906523  # of two unit normals one apart: the normal's share below 1/sqrt(2)
    out = np.arange(160) < 40
    inside = 0
    for _ in range(1000):
        found = auroc_estimate(rng.normal(size=160) + out, out, 0.95)
        inside += found.low <= truth <= found.high
    assert inside / 1000 >= 0.93


def test_auroc_needs_both_kinds():
    assert auroc_estimate(np.zeros(3), np.zeros(3, bool), 0.95) is None
    with pytest.raises(ValueError, match="both kinds"):
        auroc(np.zeros(3), np.zeros(3, bool))


def test_preferred_score_wins_within_one_standard_error():
    def worth(value):
        return Measured(value=value, size=100.0, chance=0.0, n=100, method="x")

    assert choose_score({"combined": worth(0.95), "energy": worth(0.96)}, "combined") == "combined"
    assert choose_score({"combined": worth(0.80), "energy": worth(0.96)}, "combined") == "energy"


def test_every_score_is_higher_far_away():
    rng = np.random.default_rng(3)
    centres = np.eye(6)[:3] * 4
    y = np.repeat(np.arange(3), 40)
    x = (centres[y] + rng.normal(size=(120, 6)) * 0.3).astype(np.float32)
    geometry = Geometry.of(x, y, centres.astype(np.float32))
    far = np.array([[0, 0, 0, 4, 4, 0]], np.float32)
    weights = np.vstack([centres, [0, 0, 0, 4, 4, 0]])
    near = x[:5]
    scores = scope_scores(near @ weights.T, near, geometry, 3)
    away = scope_scores(far @ weights.T, far, geometry, 3)
    assert scores.shape == (5, len(SCORES))
    assert (away > scores).all()


def test_slope_is_the_one_with_the_lowest_loss():
    rng = np.random.default_rng(4)
    margin = rng.normal(size=20_000)
    out = rng.random(20_000) < 1 / (1 + np.exp(-2.5 * margin))
    assert fit_slope(margin, out, np.zeros(20_000)) == pytest.approx(2.5, rel=0.05)
