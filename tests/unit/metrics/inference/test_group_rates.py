"""Rates of groups, rows that come in units, and the range over several groups."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.metrics.inference.groups import clustered, largest_difference, units_of
from milepost.metrics.inference.intervals import Measured, proportion


def rate(successes, n):
    return Measured(value=successes / n, size=float(n), chance=0.0, n=n, method="clopper_pearson")


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_rows_that_stand_alone_have_the_exact_interval(values):
    found = clustered(np.array(values), np.arange(len(values))).estimate(0.95)
    assert found == proportion(sum(values), len(values), 0.95)


def test_copies_are_worth_no_more_than_what_they_are_copies_of():
    rng = np.random.default_rng(0)
    once = rng.random(40) < 0.7
    copied = clustered(np.repeat(once, 5), np.repeat(np.arange(40), 5))
    assert copied.n == 200
    assert copied.size == pytest.approx(40, rel=0.15)
    assert copied.size <= 40


def test_copies_without_a_mistake_claim_no_more_than_their_units():
    assert clustered(np.ones(100, bool), np.repeat(np.arange(10), 10)).size <= 10
    assert clustered(np.ones(100, bool), np.zeros(100, np.int64)).size == 1


def test_intervals_of_rows_in_units_cover():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        theta = rng.beta(4, 1, 25)
        units = np.repeat(np.arange(25), rng.integers(1, 9, 25))
        found = clustered(rng.random(len(units)) < theta[units], units).estimate(0.95)
        covered += found.low <= 0.8 <= found.high
    # 400 runs at 95 % stay at or above 369 with probability 0.99.
    assert covered >= 369


@pytest.mark.parametrize("rates", [(0.8, 0.8, 0.8, 0.8, 0.8), (0.9, 0.8, 0.6), (0.95, 0.95)])
def test_the_interval_of_the_range_covers_and_its_test_is_valid(rates):
    rng = np.random.default_rng(2)
    sizes = np.array([40, 150, 80, 60, 200])[: len(rates)]
    truth = max(rates) - min(rates)
    covered = false = 0
    for _ in range(300):
        drawn = [rate(int(rng.binomial(n, p)), int(n)) for n, p in zip(sizes, rates, strict=True)]
        found = largest_difference(drawn, 0.95)
        covered += found.low <= truth <= found.high
        false += found.p_value <= 0.05 and truth == 0.0
    assert covered >= 275
    assert false <= 26


def test_the_range_names_its_ends_and_more_questions_make_it_wider():
    rates = [rate(90, 100), rate(60, 100), rate(80, 100)]
    one, ten = largest_difference(rates, 0.95), largest_difference(rates, 0.95, questions=10)
    assert (one.highest, one.lowest, one.value) == (0, 1, pytest.approx(0.3))
    assert 0.0 < ten.low < one.low < one.value < one.high < ten.high <= 1.0
    assert one.p_value < ten.p_value < 0.01


def test_one_group_has_no_range_and_two_equal_ones_a_range_of_nothing():
    assert largest_difference([rate(3, 4)], 0.95) is None
    equal = largest_difference([rate(30, 40), rate(30, 40)], 0.95)
    assert (equal.value, equal.low, equal.p_value) == (0.0, 0.0, 1.0)


def test_equal_names_are_one_unit():
    assert units_of(["b", "a", "b", "c"]).tolist() == [0, 1, 0, 2]
