"""Measures of scores, held against scipy and against leaving rows out."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from milepost.metrics.inference.intervals import estimate_of
from milepost.metrics.scoring import score_measures
from milepost.metrics.scoring.measures import Sample

MEASURES = (
    score_measures.mae,
    score_measures.rmse,
    score_measures.pearson,
    score_measures.spearman,
    score_measures.qwk,
)


def drawn(n=300, seed=0, ties=False):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=n)
    given = 0.8 * y + 0.5 * rng.normal(size=n)
    if ties:
        y, given = np.round(2 * y) / 2, np.round(2 * given) / 2
    return Sample(y, given[:, None].astype(np.float32))


@pytest.mark.parametrize("ties", [False, True])
def test_values_are_those_of_scipy(ties):
    sample = drawn(ties=ties)
    given = sample.probabilities[:, 0].astype(np.float64)
    pairs = {
        score_measures.mae: np.abs(sample.y - given).mean(),
        score_measures.rmse: np.sqrt(((sample.y - given) ** 2).mean()),
        score_measures.pearson: scipy.stats.pearsonr(sample.y, given).statistic,
        score_measures.spearman: scipy.stats.spearmanr(sample.y, given).statistic,
    }
    for make, expected in pairs.items():
        assert make().value(sample) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("make", MEASURES)
def test_what_each_row_says_is_what_leaving_it_out_changes(make, ties):
    sample, measure = drawn(n=150, ties=ties), make()
    reading, n = measure.reading(sample), len(sample.y)
    left = np.array([measure.value(sample.take(np.arange(n) != row)) for row in range(n)])
    pseudo = reading.value + (n - 1) * (reading.value - left)
    assert np.corrcoef(pseudo, reading.means)[0, 1] > 0.99
    assert reading.means.mean() == pytest.approx(reading.value, abs=1e-9)


LEVELS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=40)


def answered(rows):
    y, given = np.array(rows, np.float64).T
    return Sample(y, given[:, None].astype(np.float32))


@given(LEVELS, st.sampled_from([1.0, 0.5, 10.0]), st.sampled_from([0.0, -3.0]))
def test_on_levels_agreement_is_kappa_with_quadratic_weights(rows, step, start):
    y, given_ = np.array(rows).T
    assume(len({*y.tolist(), *given_.tolist()}) > 1)
    expected = cohen_kappa_score(y, given_, weights="quadratic", labels=range(5))
    moved = answered([(start + step * a, start + step * b) for a, b in rows])
    assert score_measures.qwk().value(moved) == pytest.approx(expected, abs=1e-6)


def test_agreement_is_less_than_correlation_where_answers_lie_too_high_or_too_close():
    sample = drawn()
    given = sample.probabilities
    pearson, qwk = score_measures.pearson().value, score_measures.qwk().value
    assert qwk(Sample(sample.y, sample.y[:, None].astype(np.float32))) == pytest.approx(1.0)
    for moved in (given + 1.0, 0.2 * given):
        assert qwk(Sample(sample.y, moved)) < qwk(sample) - 0.1
        assert pearson(Sample(sample.y, moved)) == pytest.approx(pearson(sample), abs=1e-6)


@pytest.mark.parametrize(
    "make", [score_measures.pearson, score_measures.spearman, score_measures.qwk]
)
def test_an_answer_that_never_changes_is_in_step_with_nothing(make):
    sample = drawn()
    assert make().value(Sample(sample.y, np.ones((300, 1), np.float32))) == 0.0


@pytest.mark.parametrize("make", MEASURES)
def test_bounds_hold_the_truth_about_as_often_as_they_say(make):
    measure, whole = make(), drawn(n=40_000, seed=1)
    truth, missed, tries = measure.value(whole), 0, 300
    for seed in range(tries):
        rows = np.random.default_rng(seed).integers(0, len(whole.y), 150)
        found = estimate_of(measure.found(whole.take(rows)), 0.95)
        missed += not found.low <= truth <= found.high
    assert missed <= 0.09 * tries
