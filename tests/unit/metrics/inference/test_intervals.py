import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from milepost.metrics.inference.intervals import (
    Sampling,
    clopper_pearson,
    estimate,
    proportion,
    wilson,
)
from milepost.metrics.scoring.classification import METRICS, score
from milepost.metrics.scoring.confusion import Counts

QUALITY = ("accuracy", "balanced_accuracy", "macro_f1", "mcc")


@given(st.integers(1, 200), st.data())
def test_clopper_pearson_is_the_exact_test_inverted(n, data):
    x = data.draw(st.integers(0, n))
    low, high = clopper_pearson(x, n, 0.05)
    if x > 0:
        assert stats.binom.sf(x - 1, n, low) == pytest.approx(0.05, abs=1e-6)
    if x < n:
        assert stats.binom.cdf(x, n, high) == pytest.approx(0.05, abs=1e-6)
    assert 0.0 <= low <= x / n <= high <= 1.0


@pytest.mark.parametrize("rate", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("n", [30, 100, 1000])
def test_accuracy_covers_at_least_95_percent_exactly(n, rate):
    """No simulation: the sum over all possible outcomes."""
    x = np.arange(n + 1)
    weight = stats.binom.pmf(x, n, rate)
    found = [proportion(int(i), n, 0.95) for i in x]
    covers = np.array([e.low <= rate <= e.high for e in found])
    released = np.array([e.at_least >= rate for e in found])
    rejected = np.array([e.at_most < rate for e in found])
    assert weight[covers].sum() >= 0.95
    assert weight[released].sum() <= 0.05
    assert weight[rejected].sum() <= 0.05


@pytest.mark.parametrize("metric", QUALITY)
@pytest.mark.parametrize("rate", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("n", [30, 100, 1000])
def test_intervals_cover_what_they_say(n, rate, metric):
    """93 % at the least; the margin of four standard errors keeps it from failing by chance."""
    runs, k = 120, 3
    joint = np.full((k, k), (1.0 - rate) / (k - 1))
    joint[np.diag_indices(k)] = rate
    joint *= np.array([0.5, 0.3, 0.2])[:, None]
    truth = float(
        METRICS[metric](Counts(np.diag(joint), joint.sum(0), joint.sum(1), np.float64(1.0)))
    )
    rng = np.random.default_rng(7)
    covered = released = 0
    for _ in range(runs):
        y, p = np.divmod(np.repeat(np.arange(k * k), rng.multinomial(n, joint.ravel())), k)
        found = estimate(metric, y, p, k)
        covered += found.low <= truth <= found.high
        released += found.at_least > truth
    assert covered / runs >= 0.93 - 4.0 * np.sqrt(0.95 * 0.05 / runs)
    assert released / runs <= 0.05 + 4.0 * np.sqrt(0.95 * 0.05 / runs)


@pytest.mark.parametrize("metric", [*QUALITY, "weighted_f1"])
def test_all_right_is_not_certainty(metric):
    y = np.tile([0, 1, 2], 10)
    found = estimate(metric, y, y, 3)
    assert found.value == pytest.approx(1.0)
    assert found.high == pytest.approx(1.0)
    assert 0.8 <= found.low < found.at_least < 0.95
    more = estimate(metric, np.tile(y, 10), np.tile(y, 10), 3)
    assert more.low > found.low


@pytest.mark.parametrize("metric", [*QUALITY, "weighted_f1"])
@given(data=st.data())
@settings(max_examples=60)
def test_intervals_are_ordered_and_narrow_with_more_of_the_same(metric, data):
    k = data.draw(st.integers(2, 4))
    n = data.draw(st.integers(2, 40))
    labels = st.lists(st.integers(-1, k - 1), min_size=n, max_size=n)
    y = np.array(data.draw(labels))
    p = np.maximum(np.array(data.draw(labels)), 0)
    found = estimate(metric, y, p, k)
    assert found.low <= found.at_least <= found.value <= found.at_most <= found.high
    assert found.value == score(metric, y, p, k)
    assert found.n == n
    many = estimate(metric, np.tile(y, 9), np.tile(p, 9), k)
    assert many.high - many.low <= found.high - found.low + 1e-9


def test_a_rare_label_widens_a_mean_over_labels():
    y = np.repeat([0, 1], [97, 3])
    rare = estimate("balanced_accuracy", y, y, 2)
    even = estimate("balanced_accuracy", np.repeat([0, 1], 50), np.repeat([0, 1], 50), 2)
    assert rare.low < even.low - 0.1


def test_wilson_against_a_published_value():
    """15 of 148 (Newcombe 1998, table I): 0.0624 to 0.1605."""
    low, high = wilson(np.array([15.0]), np.array([148.0]), 0.95)
    assert low[0] == pytest.approx(0.0624, abs=5e-5)
    assert high[0] == pytest.approx(0.1605, abs=5e-5)


def test_clopper_pearson_against_a_published_value():
    """15 of 148 (Newcombe 1998, table I): 0.0578 to 0.1617."""
    low, high = clopper_pearson(15, 148, 0.025)
    assert (low, high) == (pytest.approx(0.0578, abs=5e-5), pytest.approx(0.1617, abs=5e-5))


@pytest.mark.parametrize("bad", [{"confidence": 1.0}, {"confidence": 0.0}, {"resamples": 10}])
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(ValueError, match="confidence"):
        Sampling(**bad)
