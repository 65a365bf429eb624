import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.metrics.inference.intervals import Sampling
from milepost.metrics.inference.ratios import Ratios, difference, swapped

SAMPLING = Sampling(resamples=400)
UNIT = st.tuples(*[st.integers(0, 4)] * 4)


def ratios(rows):
    """Units from rows of (part, rest) of the first and of the second."""
    each = np.asarray(rows, np.float64).T
    return Ratios(each[[0, 2]], each[[0, 2]] + each[[1, 3]])


def drawn(rng, units, first, second):
    """Texts of up to six spans, each found by either with its own probability."""
    wanted = rng.integers(1, 7, units)
    # What is hard for one is hard for the other, too.
    ease = rng.normal(0.0, 0.15, units)
    found = [rng.binomial(wanted, np.clip(share + ease, 0.0, 1.0)) for share in (first, second)]
    wrong = [rng.binomial(wanted, 0.3) for _ in range(2)]
    parts = np.stack(found).astype(np.float64)
    return Ratios(parts, (wanted + parts + np.stack(wrong)) / 2.0)


@settings(max_examples=50)
@given(st.lists(UNIT, min_size=1, max_size=20))
def test_swapped_they_say_the_opposite(rows):
    one, other = ratios(rows), ratios([(c, d, a, b) for a, b, c, d in rows])
    apart, low, high = difference(one, 0.95)
    assert difference(other, 0.95) == pytest.approx((-apart, -high, -low))
    assert -1.0 <= low <= apart <= high <= 1.0
    first, second = (swapped(each, SAMPLING) for each in (one, other))
    assert (first.p_better, first.p_worse) == pytest.approx((second.p_worse, second.p_better))


def test_a_ratio_of_nothing_is_one_as_where_nothing_is_wanted_or_given():
    assert ratios([(0, 0, 0, 2)]).values.tolist() == [1.0, 0.0]


def test_summands_of_a_unit_are_one():
    parts = np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    found = Ratios.of(parts, np.ones((2, 3)), np.array([7, 3, 7]))
    assert found.parts.tolist() == [[0.0, 2.0], [0.0, 1.0]]
    assert found.sizes.tolist() == [[1.0, 2.0], [1.0, 2.0]]


def test_what_never_differs_is_not_told_apart_and_has_an_interval():
    same = ratios([(2, 1, 2, 1)] * 30)
    test = swapped(same, SAMPLING)
    assert test.p_better == test.p_worse == 1.0
    apart, low, high = difference(same, 0.95)
    assert low < apart == 0.0 < high


def test_shapes_must_fit():
    with pytest.raises(ValueError, match="shapes"):
        Ratios(np.zeros((2, 0)), np.zeros((2, 0)))


def test_equals_are_told_apart_in_about_one_of_twenty():
    rng = np.random.default_rng(0)
    claimed = 0
    for _ in range(400):
        test = swapped(drawn(rng, 40, 0.6, 0.6), SAMPLING)
        claimed += min(test.p_better, test.p_worse) < 0.025
    assert claimed / 400 <= 0.07


def test_the_interval_holds_the_difference():
    rng = np.random.default_rng(1)
    truth = float(np.subtract(*drawn(rng, 400_000, 0.5, 0.7).values))
    held = 0
    for _ in range(400):
        _, low, high = difference(drawn(rng, 40, 0.5, 0.7), 0.95)
        held += low <= truth <= high
    assert held / 400 >= 0.93


def test_a_gain_that_is_there_is_found():
    test = swapped(drawn(np.random.default_rng(2), 80, 0.8, 0.5), SAMPLING)
    assert test.p_better < 0.01
    assert test.method == "paired randomisation"
