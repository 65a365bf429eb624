"""Two ratios of sums are compared by swapping texts, whatever number of labels these have."""

import numpy as np
import pytest

from milepost.evaluation.comparison import Pair, compare
from milepost.metrics.inference.intervals import Sampling
from milepost.metrics.scoring.label_sets import macro_f1, micro_f1

N, K = 150, 20
SAMPLING = Sampling(confidence=0.95, resamples=999)


def answered(y, rng, found, wrong):
    """Probabilities of a model that finds a share of the labels and adds others."""
    held = np.where(y > 0, rng.random(y.shape) < found, rng.random(y.shape) < wrong)
    return np.where(held, 0.9, 0.1).astype(np.float32)


def pair_of(measure, first, second, y, units=None):
    nothing = np.zeros(len(y), np.int64)
    return compare(
        Pair(
            against="other", metric=measure.name, k=K, y=y, answers=nothing, other=nothing,
            sampling=SAMPLING, measure=measure, probabilities=(first, second), units=units,
        )
    )  # fmt: skip


@pytest.fixture
def sets():
    rng = np.random.default_rng(0)
    y = (rng.random((N, K)) < 0.12).astype(np.int8)
    y = np.concatenate([y, np.zeros((N, 1), np.int8)], axis=1)
    better = answered(y[:, :K], rng, 0.75, 0.02)
    worse = answered(y[:, :K], rng, 0.6, 0.03)
    return y, better, worse


def test_a_clear_difference_of_f1_is_shown(sets):
    y, better, worse = sets
    found = pair_of(micro_f1(), better, worse, y)
    assert found.method == "paired randomisation by unit"
    assert found.difference > 0.05
    assert found.p_value < 0.01 < found.p_worse
    assert found.low < found.difference < found.high
    assert found.n == N


def test_the_other_way_round_it_is_the_opposite(sets):
    y, better, worse = sets
    there, back = (pair_of(micro_f1(), *each, y) for each in ((better, worse), (worse, better)))
    assert there.difference == pytest.approx(-back.difference)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert (there.p_value, there.p_worse) == pytest.approx((back.p_worse, back.p_value))


def test_rows_of_a_unit_count_together(sets):
    y, better, worse = sets
    units = np.repeat(np.arange(N // 5), 5)
    found = pair_of(micro_f1(), better, worse, y, units)
    assert found.n == N // 5
    assert found.difference == pytest.approx(pair_of(micro_f1(), better, worse, y).difference)


def test_two_that_are_equally_good_are_seldom_told_apart():
    told = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        y = (rng.random((60, K + 1)) < 0.1).astype(np.int8)
        y[:, K] = 0
        first, second = (answered(y[:, :K], rng, 0.6, 0.03) for _ in range(2))
        told += pair_of(micro_f1(), first, second, y).p_value < 0.05
    assert told <= 8  # binomial: more than 8 of 60 at 5 % happen in 0.6 % of such samples


def test_what_is_no_ratio_of_sums_keeps_the_bound_of_a_mean(sets):
    y, better, worse = sets
    assert pair_of(macro_f1(), better, worse, y).method == "bound of the paired difference"
