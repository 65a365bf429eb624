"""The search over many slices: exact tests, valid correction, and what it must find."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from milepost.metrics.inference.search import more_mistakes, search


def alone(n):
    return np.arange(n)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_each_slice_by_itself_is_fishers_exact_test(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(5, 60))
    slices = rng.random((n, 4)) < rng.random(4)
    wrong = rng.random(n) < rng.random()
    found = search(slices, wrong, alone(n), seed=1)
    if 0 < wrong.sum() < n:
        for column in range(4):
            mask = slices[:, column]
            table = [[(mask & wrong).sum(), (mask & ~wrong).sum()],
                     [(~mask & wrong).sum(), (~mask & ~wrong).sum()]]  # fmt: skip
            expected = fisher_exact(table, alternative="greater").pvalue
            assert found.raw[column] == pytest.approx(expected, rel=1e-6, abs=1e-12)
    assert (found.corrected >= found.raw - 1e-12).all()
    assert (found.corrected <= 1.0).all()


def test_the_correction_is_no_stricter_than_holm_and_knows_copies():
    rng = np.random.default_rng(0)
    n = 400
    wrong = rng.random(n) < 0.15
    one = np.zeros(n, bool)
    one[np.flatnonzero(wrong)[:14]] = True
    one[np.flatnonzero(~wrong)[:26]] = True
    copies = np.repeat(one[:, None], 200, axis=1)
    found = search(copies, wrong, alone(n))
    # Two hundred copies of a slice are one question, not two hundred.
    assert found.corrected.max() < 0.02 < found.raw[0] * 200


@pytest.mark.parametrize("size", [1, 4])
def test_nothing_is_found_where_nothing_is_worse(size):
    rng = np.random.default_rng(3)
    n, runs = 240, 150
    slices = rng.random((n, 60)) < rng.uniform(0.05, 0.3, 60)
    units = np.arange(n) // size
    false = 0
    for seed in range(runs):
        # Rows of one unit are right or wrong together, which makes rows look surer than they are.
        wrong = (rng.random(n // size) < 0.15)[units]
        false += bool((search(slices, wrong, units, seed=seed).corrected <= 0.05).any())
    # 150 runs at 5 % stay below 15 with probability 0.99.
    assert false <= 14


def test_units_guard_against_rows_that_go_together():
    rng = np.random.default_rng(4)
    n, size, runs = 240, 12, 60
    units = np.arange(n) // size
    # Each slice is made of whole units, as a customer's rows are.
    slices = (rng.random((n // size, 40)) < 0.15)[units]
    slices = slices[:, (slices.sum(axis=0) > 0)]
    naive = honest = 0
    for seed in range(runs):
        wrong = (rng.random(n // size) < 0.2)[units]
        naive += bool((search(slices, wrong, alone(n), seed=seed).corrected <= 0.05).any())
        honest += bool((search(slices, wrong, units, seed=seed).corrected <= 0.05).any())
    assert naive > 30
    assert honest <= 8


def test_a_failing_slice_is_found_and_the_others_are_not():
    rng = np.random.default_rng(5)
    n = 2000
    slices = rng.random((n, 300)) < 0.05
    wrong = rng.random(n) < np.where(slices[:, 7], 0.45, 0.1)
    found = search(slices, wrong, alone(n))
    assert found.corrected[7] <= 0.001
    assert (np.delete(found.corrected, 7) > 0.05).all()
    assert 0.05 / 300 <= found.level <= 0.05


def test_a_level_of_its_own_is_never_below_bonferroni_nor_above_what_was_asked():
    rng = np.random.default_rng(6)
    slices = rng.random((100, 5)) < 0.4
    found = search(slices, rng.random(100) < 0.3, alone(100), confidence=0.9)
    assert 0.1 / 5 <= found.level <= 0.1


def test_without_mistakes_or_without_right_answers_there_is_nothing_to_test():
    slices = np.ones((6, 2), bool)
    for wrong in (np.zeros(6, bool), np.ones(6, bool)):
        assert (search(slices, wrong, alone(6)).corrected == 1.0).all()
        assert (more_mistakes(wrong, slices, np.ones(6, bool)) == 1.0).all()
    assert search(np.ones((6, 0), bool), np.arange(6) > 2, alone(6)).corrected.shape == (0,)


def test_the_same_seed_gives_the_same_numbers():
    rng = np.random.default_rng(7)
    slices, wrong = rng.random((80, 9)) < 0.3, rng.random(80) < 0.3
    first, again = (search(slices, wrong, alone(80), seed=4) for _ in range(2))
    assert (first.corrected == again.corrected).all()


def test_columns_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="rows in slices"):
        search(np.ones((5, 1), bool), np.ones(4, bool), alone(5))
