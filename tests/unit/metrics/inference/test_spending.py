"""Alpha spending over looks: nothing more than alpha is ever lost, and a release hands on."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.metrics.inference.spending import left, level, levels, margin, weight

histories = st.lists(st.booleans(), max_size=200)


@given(st.floats(0.001, 0.5), histories)
def test_looks_that_release_nothing_never_pay_more_than_alpha(alpha, rejected):
    found = levels(alpha, rejected)
    assert len(found) == len(rejected) + 1
    paid = [each for each, released in zip(found, rejected, strict=False) if not released]
    # The look to come pays as well, should it release nothing.
    assert math.fsum([*paid, found[-1]]) <= alpha * (1 + 1e-12)
    assert left(alpha, paid) >= found[-1] - 1e-15


@given(st.floats(0.001, 0.5), st.integers(1, 100))
def test_without_a_release_levels_fall_and_with_releases_alone_they_grow(alpha, looks):
    falling = levels(alpha, [False] * looks)
    growing = levels(alpha, [True] * looks)
    assert all(a > b for a, b in itertools.pairwise(falling))
    assert all(a < b for a, b in itertools.pairwise(growing))
    assert growing[-1] < alpha


def test_the_weights_sum_to_one():
    assert math.fsum(weight(look) for look in range(1, 100_001)) == pytest.approx(1, abs=1e-5)
    assert level(0.05, 1) == pytest.approx(0.0304, abs=1e-4)
    assert level(0.05, 2, 0.0304) == pytest.approx(0.0380, abs=1e-4)


def test_the_margin_over_the_floor_is_a_ratio_of_quantiles():
    assert margin(0.05, 0.05) == 1
    assert margin(0.05, 0.0005) == pytest.approx(3.2905 / 1.6449, abs=1e-3)
    assert margin(0.5, 0.5) == 1


@pytest.mark.parametrize("bad", [0, -1])
def test_looks_count_from_one(bad):
    with pytest.raises(ValueError, match="from 1"):
        weight(bad)


def test_levels_and_what_is_handed_on_must_be_probabilities():
    with pytest.raises(ValueError, match="alpha"):
        level(0.0, 1)
    with pytest.raises(ValueError, match="not be negative"):
        level(0.05, 2, -0.1)


def test_any_false_release_over_fifty_looks_is_rare_where_peeking_is_not():
    from scipy.stats import binom

    repeats, looks, n, floor = 4000, 50, 400, 0.85
    # Candidates that agree on most rows: each is the last one with a tenth of its answers anew.
    rng = np.random.default_rng(0)
    right = np.empty((repeats, looks), np.int64)
    right[:, 0] = rng.binomial(n, floor, repeats)
    for look in range(1, looks):
        before = right[:, look - 1]
        kept = before - rng.hypergeometric(before, n - before, n // 10)
        right[:, look] = kept + rng.binomial(n // 10, floor, repeats)
    p_values = binom.sf(right - 1, n, floor)
    spending = (p_values <= np.asarray(levels(0.05, [False] * (looks - 1)))).any(axis=1).mean()
    naive = (p_values <= 0.05).any(axis=1).mean()
    assert spending <= 0.05 < 0.3 < naive
