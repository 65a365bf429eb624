from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.contests.searching.halving import Expected, entrants, fits_of, race, rungs

ROWS = 200


def believed(*mean, deviation=0.05):
    return Expected(np.array(mean, np.float64), np.full(len(mean), deviation**2))


def table(*means, noise=0.1, rows=ROWS, seed=0):
    """Losses of configurations with these means, on parts of so many rows."""
    rng = np.random.default_rng(seed)
    hard = rng.normal(size=(20, rows)) * 0.3

    def losses(configuration, part):
        own = np.random.default_rng([seed, configuration, part]).normal(size=rows) * noise
        return np.maximum(means[configuration] + hard[part] + own, 0.0)

    return losses


@given(entering=st.integers(1, 30), parts=st.integers(1, 10))
def test_a_race_halves_and_ends_on_all_parts(entering, parts):
    found = rungs(entering, parts)
    assert [at for _, tried in found for at in tried] == list(range(sum(len(t) for _, t in found)))
    assert all(b <= -(-a // 2) for (a, _), (b, _) in pairwise(found))
    if entering > 1:
        assert found[0][0] == entering
        assert found[-1][0] <= 2 or found[-1][1].stop == parts
    assert fits_of(entering, parts) <= entering * parts


def test_the_better_one_wins_where_there_are_rows():
    expected = believed(0.0, 0.0, 0.0, 0.0)
    found = race(table(1.0, 1.1, 0.9, 1.2), expected, [0, 1, 2, 3], 4)
    assert found.chosen == 2
    assert found.gain == pytest.approx(0.1, abs=0.05)
    assert found.fits == fits_of(4, 4)


def test_nothing_better_keeps_the_first():
    found = race(table(1.0, 1.1, 1.2), believed(0.0, 0.0, 0.0), [0, 1, 2], 4)
    assert (found.chosen, found.gain) == (0, 0.0)


def test_with_a_few_rows_other_tasks_decide():
    few = table(1.0, 0.8, 1.05, noise=1.0, rows=2)
    sure = believed(0.0, 0.5, -0.3, deviation=0.01)
    assert race(few, sure, [0, 2, 1], 2).chosen == 2


def test_who_is_alone_needs_no_fit():
    def nobody(configuration, part):
        raise AssertionError

    assert race(nobody, believed(0.0, -1.0), [0], 5).fits == 0


def test_the_first_and_the_most_promising_enter():
    expected = believed(0.0, 0.3, -0.2, 0.1, -0.1)
    assert entrants(expected, 3) == [0, 2, 4]
    assert entrants(expected, 1) == [0]
    assert entrants(expected, 9) == [0, 2, 4, 3, 1]
