"""Truths of each kind: written, read, and cut into parts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.entities.errors import InputError, UnknownNameError
from milepost.entities.kinds import (
    columns_of,
    names_in,
    read_set,
    said_truth,
    strata,
    truths,
    written_score,
    written_set,
)

LABELS = ("a", "b", "c")


@given(st.lists(st.text(min_size=1, max_size=8), max_size=6))
def test_a_set_is_read_as_it_was_written(names):
    written = written_set(names)
    assert read_set(written) == tuple(sorted(set(names)))
    assert written_set(read_set(written)) == written


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_score_is_read_as_it_was_written(value):
    assert float(written_score(value)) == value


def test_a_score_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="not a finite number"):
        written_score(float("nan"))


def test_truths_of_each_kind():
    assert truths("classify", ["b", "x", None], LABELS).tolist() == [1, -1, -1]
    assert truths("match", ["a"], LABELS).tolist() == [0]
    assert truths("score", ["1.5", "-2"], ("value",)).tolist() == [1.5, -2.0]
    sets = truths("multilabel", ['["a","c"]', "[]", '["x","y","b"]'], LABELS)
    assert sets.tolist() == [[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 2]]
    assert columns_of("score", ()) == ("value",)
    assert names_in("multilabel", '["a","c"]') == ("a", "c")
    assert names_in("score", "3") == ()


@given(st.lists(st.lists(st.sampled_from(LABELS), max_size=3), min_size=1, max_size=30))
def test_the_part_of_a_set_is_its_rarest_label(sets):
    y = truths("multilabel", [written_set(each) for each in sets], LABELS)
    counts = y.sum(axis=0)
    for names, part in zip(sets, strata("multilabel", y).tolist(), strict=True):
        if not names:
            assert part == y.shape[1]
        else:
            assert counts[part] == min(counts[LABELS.index(name)] for name in names)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_parts_of_scores_are_in_order(values):
    y = np.array(values)
    parts = strata("score", y)
    order = np.argsort(y, kind="stable")
    assert (np.diff(parts[order]) >= 0).all()


def test_parts_of_many_scores_are_of_about_one_size():
    parts = strata("score", np.random.default_rng(0).normal(size=1000))
    assert np.bincount(parts).tolist() == [100] * 10


def test_what_somebody_says_is_right_is_checked():
    assert said_truth("classify", "a", LABELS) == "a"
    assert said_truth("multilabel", '["c", "a"]', LABELS) == '["a","c"]'
    assert said_truth("score", " 2.50", ()) == "2.5"
    with pytest.raises(UnknownNameError, match="'d'"):
        said_truth("multilabel", '["d"]', LABELS)
    with pytest.raises(InputError, match="no JSON array"):
        said_truth("multilabel", "a", LABELS)
    with pytest.raises(InputError, match="not a finite number"):
        said_truth("score", "inf", ())
