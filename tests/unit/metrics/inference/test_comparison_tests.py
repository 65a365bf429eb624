import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from milepost.metrics.inference.comparison import (
    independent_difference,
    independent_p_value,
    mcnemar,
    paired_difference,
    randomisation,
)
from milepost.metrics.inference.intervals import Sampling, measure
from milepost.metrics.inference.multiplicity import holm
from milepost.metrics.inference.planning import rows_to_decide
from milepost.metrics.scoring.confusion import Cells


def rivals(n, rates, seed=0, k=3):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    common = rng.random(n)
    answers = []
    for rate in rates:
        right = np.where(rng.random(n) < 0.7, common, rng.random(n)) < rate
        answers.append(np.where(right, y, (y + rng.integers(1, k, n)) % k))
    return y, np.stack(answers)


@given(st.integers(0, 25), st.integers(0, 25))
def test_mcnemar_is_the_exact_sign_test(won, lost):
    y = np.zeros(won + lost + 3, np.int64)
    first = np.r_[np.zeros(won), np.ones(lost), [0, 1, 1]].astype(int)
    second = np.r_[np.ones(won), np.zeros(lost), [0, 1, 1]].astype(int)
    test = mcnemar(y, first, second)
    if won + lost:
        greater = stats.binomtest(won, won + lost, 0.5, "greater").pvalue
        less = stats.binomtest(won, won + lost, 0.5, "less").pvalue
        assert test.p_better == pytest.approx(greater)
        assert test.p_worse == pytest.approx(less)
    else:
        assert (test.p_better, test.p_worse) == (1.0, 1.0)


def test_randomisation_agrees_with_mcnemar_on_accuracy():
    y, both = rivals(200, (0.85, 0.78))
    exact = mcnemar(y, both[0], both[1])
    drawn = randomisation("accuracy", Cells.of(y, both, 3), Sampling(resamples=20_000))
    assert drawn.p_better == pytest.approx(exact.p_better, abs=0.015)
    assert drawn.p_worse == pytest.approx(exact.p_worse, abs=0.015)


@pytest.mark.parametrize("metric", ["macro_f1", "mcc", "balanced_accuracy"])
def test_randomisation_sees_a_difference_and_is_antisymmetric(metric):
    y, both = rivals(400, (0.9, 0.75))
    there = randomisation(metric, Cells.of(y, both, 3), Sampling(resamples=500))
    back = randomisation(metric, Cells.of(y, both[::-1], 3), Sampling(resamples=500))
    assert there.p_better < 0.01 < 0.9 < there.p_worse
    assert back.p_worse < 0.01


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_equal_rivals_are_rarely_told_apart(metric):
    better = covered = 0
    runs = 150
    for seed in range(runs):
        y, both = rivals(60, (0.85, 0.85), seed)
        cells = Cells.of(y, both, 3)
        if metric == "accuracy":
            test = mcnemar(y, *both)
        else:
            test = randomisation(metric, cells, Sampling(resamples=200, seed=seed))
        better += test.p_better < 0.05
        _, low, high = paired_difference(metric, cells, 0.95)
        covered += low <= 0.0 <= high
    margin = 4.0 * np.sqrt(0.05 * 0.95 / runs)
    assert better / runs <= 0.05 + margin
    assert covered / runs >= 0.93 - margin


def test_the_same_answers_leave_room_for_a_difference():
    y, both = rivals(50, (0.9,))
    cells = Cells.of(y, np.repeat(both, 2, axis=0), 3)
    difference, low, high = paired_difference("macro_f1", cells, 0.95)
    assert difference == 0.0
    assert low == pytest.approx(-high)
    assert 0.03 < high < 0.12
    assert randomisation("macro_f1", cells, Sampling()).p_better == 1.0


def test_difference_of_separate_rows():
    good, bad = np.array([0] * 95 + [1] * 5), np.array([0] * 70 + [1] * 30)
    y = np.zeros(100, np.int64)
    first, second = (measure("accuracy", Cells.of(y, p, 2)) for p in (good, bad))
    low, high = independent_difference(first, second, 0.025)
    # Newcombe (1998) method 10 on Wilson intervals gives 0.146 to 0.351; exact ends are wider.
    assert 0.12 < low < 0.15
    assert 0.34 < high < 0.37
    p_value = independent_p_value(first, second)
    assert p_value < 1e-4
    assert independent_p_value(second, first) == 1.0
    assert independent_difference(first, second, p_value)[0] == pytest.approx(0.0, abs=1e-6)


@given(st.lists(st.floats(0.0, 1.0), max_size=12))
def test_holm_is_between_raw_and_bonferroni_and_keeps_the_order(raw):
    p = np.array(raw)
    adjusted = holm(p)
    assert (adjusted >= p - 1e-15).all()
    assert (adjusted <= np.minimum(p * max(len(p), 1), 1.0) + 1e-15).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


def test_holm_on_a_worked_example():
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_rows_to_decide_does_decide():
    found = measure("accuracy", Cells.of(np.zeros(100, int), np.repeat([0, 1], [93, 7]), 2))
    rows = rows_to_decide(found.estimate(0.95), 0.9, 0.95)
    assert rows is not None
    assert 250 < rows < 350
    wrong = round(rows * 0.07)
    enough = measure(
        "accuracy", Cells.of(np.zeros(rows, int), np.repeat([0, 1], [rows - wrong, wrong]), 2)
    )
    assert enough.estimate(0.95).at_least == pytest.approx(0.9, abs=0.003)
    assert rows_to_decide(found.estimate(0.95), 0.93, 0.95) is None
