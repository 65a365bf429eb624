import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from milepost.metrics.risk.testing import (
    betting_p,
    binomial_p,
    broken_evidence,
    fewest_labels,
    hypergeometric_cdf,
)


@given(
    size=st.integers(1, 300),
    bad=st.integers(0, 300),
    drawn=st.integers(0, 300),
    x=st.integers(0, 9),
)
def test_hypergeometric_chances_are_those_of_scipy(size: int, bad: int, drawn: int, x: int) -> None:
    bad, drawn = min(bad, size), min(drawn, size)
    expected = float(hypergeom.cdf(x, size, bad, drawn))
    assert hypergeometric_cdf(x, size, bad, drawn) == pytest.approx(expected, abs=1e-9)


def test_a_promise_takes_as_many_labels_as_its_formula_says() -> None:
    assert fewest_labels(0.05, 0.95) == 59
    few = binomial_p(np.zeros(2, np.int64), np.array([58, 59]), 0.05)
    assert few[0] > 0.05 >= few[1]
    assert binomial_p(np.array([0]), np.array([0]), 0.05)[0] == 1.0


@pytest.mark.parametrize("at_most", [0.05, 0.2])
def test_bets_are_lost_while_the_hypothesis_is_true(at_most: float) -> None:
    rng = np.random.default_rng(0)
    losses = (rng.random((1500, 200)) < at_most).astype(np.float64)
    found = np.array([betting_p(row, at_most) for row in losses])
    assert (found <= 0.05).mean() <= 0.05
    assert betting_p(np.zeros(200), at_most) < 0.01
    # Half as large losses that are twice as frequent have the same mean.
    halves = (rng.random((500, 200)) < 2 * at_most) * 0.5
    assert np.mean([betting_p(row, at_most) <= 0.05 for row in halves]) <= 0.07


def test_a_loss_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="not between"):
        betting_p(np.array([1.5]), 0.1)


def test_evidence_against_a_promise_is_rarely_large_while_it_holds() -> None:
    rng = np.random.default_rng(1)
    kept = [broken_evidence(rng.random(400) < 0.05, 0.05) for _ in range(1500)]
    assert np.mean(np.array(kept) >= 20.0) <= 0.05
    broken = [broken_evidence(rng.random(400) < 0.15, 0.05) for _ in range(200)]
    assert np.mean(np.array(broken) >= 20.0) > 0.95
    assert broken_evidence(np.zeros(0, np.bool_), 0.05) == 1.0
    assert math.isfinite(broken_evidence(np.ones(5000, np.bool_), 0.01))
