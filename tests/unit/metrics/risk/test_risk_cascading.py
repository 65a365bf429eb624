import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.metrics.risk.cascading import (
    Ladder,
    Limit,
    affordable,
    certified,
    fast_enough,
    path,
    rows_needed,
    sequence,
    start,
    tally,
)
from milepost.metrics.risk.pools import answer_pool, filter_pool


def ladder(n: int, seed: int, rungs: int = 2) -> Ladder:
    """Rungs that are as right as they say."""
    rng = np.random.default_rng(seed)
    confidence = 1.0 - rng.beta(0.6, 4.0, (rungs, n))
    return Ladder(confidence, rng.random((rungs, n)) < confidence)


def test_each_row_is_answered_by_the_first_rung_that_is_sure() -> None:
    found = Ladder(np.array([[0.9, 0.5, 0.5], [0.8, 0.9, 0.6]]), np.ones((2, 3), np.bool_))
    assert found.rungs(0.8).tolist() == [0, 1, 2]
    counted = tally(found, np.array([0.8]))
    assert (counted.answered[0], counted.reached[0].tolist()) == (2, [3, 2, 1])


@given(st.integers(0, 500), st.integers(1, 3))
def test_a_laxer_threshold_answers_no_fewer(seed: int, rungs: int) -> None:
    found = ladder(80, seed, rungs)
    thresholds = path(found.confidence)
    counted = tally(found, thresholds)
    assert (np.diff(thresholds) < 0).all()
    assert (np.diff(counted.answered) >= 0).all()
    assert counted.answered[-1] == 80
    assert (counted.wrong <= counted.answered).all()


@pytest.mark.parametrize("rungs", [1, 2])
def test_certified_thresholds_break_their_promise_at_most_as_often_as_allowed(rungs: int) -> None:
    whole = ladder(20_000, 99, rungs)
    rng = np.random.default_rng(3)
    broken, given_ = 0, 0
    for _ in range(150):
        rows = rng.integers(0, whole.rows, 500)
        choosing, certifying = whole.take(rows[:250]), whole.take(rows[250:])
        thresholds = path(choosing.confidence)
        begin = start(tally(choosing, thresholds), Limit(0.05), certifying.rows)
        at = certified(tally(certifying, thresholds), Limit(0.05), 0.05, begin)
        if at is None:
            continue
        given_ += 1
        truth = tally(whole, thresholds[at : at + 1])
        broken += truth.wrong[0] > 0.05 * truth.answered[0]
    assert given_ > 20
    assert broken <= 0.05 * 150 + 2 * np.sqrt(150 * 0.05 * 0.95)


def test_a_run_of_rejections_ends_at_the_first_gap() -> None:
    p_values = np.array([0.5, 0.01, 0.04, 0.2, 0.01])
    assert sequence(p_values, 1, 0.05) == 2
    assert sequence(p_values, 0, 0.05) is None


def test_caps_are_kept_by_what_is_certified() -> None:
    counted = tally(found := ladder(2000, 5), path(found.confidence))
    costs = np.array([1.0, 5.0, 100.0])
    at = affordable(counted, costs, 40.0, 0.05)
    assert at is not None
    spent = counted.reached[at] @ costs / counted.rows
    assert spent <= 40.0
    assert affordable(counted, costs, 0.5, 0.05) is None
    assert affordable(counted, costs, 1000.0, 0.05) == 0
    quick = fast_enough(counted, 2, 0.05)
    assert quick is not None
    assert counted.reached[quick, 2] <= 0.05 * counted.rows
    assert fast_enough(counted, 0, 0.05) is None


def test_labels_that_are_needed_are_few_for_good_rungs_and_none_for_bad_ones() -> None:
    good = tally(found := ladder(300, 5), path(found.confidence))
    assert (rows_needed(good, Limit(0.1), 0.05) or 0) > 20
    bad = Ladder(np.full((1, 100), 0.9), np.zeros((1, 100), np.bool_))
    assert rows_needed(tally(bad, np.array([0.9, 0.0])), Limit(0.1), 0.05) is None


def test_pools_keep_recall_precision_and_risk() -> None:
    short = wrong = 0
    calls: list[int] = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        actual = rng.random(2000) < 0.3
        score = 3.0 * actual + rng.standard_normal(2000)
        chance = 1.0 / (1.0 + np.exp(-(np.log(0.3 / 0.7) + 3.0 * score - 4.5)))
        done = filter_pool(chance, lambda rows, a=actual: a[rows], 200, (0.9, 0.9), 0.05, seed)
        right = (done.answers & actual).sum()
        short += right < 0.9 * actual.sum() or right < 0.9 * done.answers.sum()
        calls.append(done.calls)
        done = answer_pool(chance, lambda rows, a=actual: a[rows], 200, 0.1, 0.05, seed)
        assert (done.answers[done.asked] == actual[done.asked]).all()
        left = ~done.asked
        wrong += (done.answers != actual)[left].sum() > 0.1 * left.sum()
    assert max(short, wrong) <= 0.05 * 60 + 2 * np.sqrt(60 * 0.05 * 0.95)
    assert np.mean(calls) < 700
