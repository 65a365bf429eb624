"""A solved ridge regression that changed by single examples is the one that is fitted anew."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.predictors.base import Batch
from milepost.strategies.head_ridge import HeadRidge
from milepost.strategies.incremental import SOLVE_EVERY
from milepost.strategies.incremental_ridge import SolvedRidge
from milepost.testing.encoders import HashedEncoder
from milepost.testing.strategies import example_problem


def drawn(rng, n, d, k):
    """Examples with scores (``k`` is 0) or with labels; the last column tells unknown ones."""
    vectors = rng.normal(size=(n, d))
    y = rng.normal(size=n) if k == 0 else (rng.random((n, k + 1)) < 0.3).astype(np.int8)
    return vectors, y


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(3, 30),
    d=st.integers(2, 20),
    k=st.integers(0, 5),
    penalty=st.sampled_from([0.1, 1.0, 30.0]),
    moves=st.lists(st.integers(0, 59), max_size=2 * SOLVE_EVERY + 4),
)
def test_any_sequence_of_changes_equals_a_refit(seed, n, d, k, penalty, moves):
    rng = np.random.default_rng(seed)
    vectors, y = drawn(rng, 60, d, k)
    inside = set(range(n))
    solved = SolvedRidge.of(vectors[:n], y[:n], max(k, 1), penalty)
    for row in moves:
        if row in inside and len(inside) > 2:
            inside.remove(row)
            solved = solved.without_example(vectors[row], y[row])
        elif row not in inside:
            inside.add(row)
            solved = solved.with_example(vectors[row], y[row])
    rows = sorted(inside)
    again = SolvedRidge.of(vectors[rows], y[rows], max(k, 1), penalty)
    for one, other in zip(solved.linear(), again.linear(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_several_go_at_once_as_one_by_one():
    vectors, y = drawn(np.random.default_rng(1), 20, 6, 3)
    solved = SolvedRidge.of(vectors, y, 3, 1.0)
    fewer = solved.without(vectors[:5], y[:5])
    for row in range(5):
        solved = solved.without_example(vectors[row], y[row])
    for one, other in zip(solved.linear(), fewer.linear(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)


@pytest.mark.parametrize("k", [0, 3])
def test_leaving_one_out_is_a_refit_without_it(k):
    vectors, y = drawn(np.random.default_rng(2), 15, 4, k)
    left = SolvedRidge.of(vectors, y, max(k, 1), 2.0).leave_one_out(vectors, y)
    for row in range(15):
        kept = np.arange(15) != row
        coefficients, bias = SolvedRidge.of(vectors[kept], y[kept], max(k, 1), 2.0).linear()
        np.testing.assert_allclose(left[row], vectors[row] @ coefficients.T + bias, atol=1e-9)


def test_the_last_two_examples_stay():
    vectors, y = drawn(np.random.default_rng(3), 2, 3, 0)
    solved = SolvedRidge.of(vectors, y, 1, 1.0)
    assert not solved.spare(y).any()
    with pytest.raises(ValueError, match="two"):
        solved.without_example(vectors[0], y[0])
    with pytest.raises(ValueError, match="two"):
        solved.without(vectors[:1], y[:1])


@pytest.mark.parametrize("kind", ["multilabel", "score"])
def test_it_is_what_the_head_fits(kind):
    problem = example_problem(HashedEncoder(), kind=kind)
    head = HeadRidge()
    fitted = head.fit(problem)
    penalty, temperature = head.chosen(problem)
    coefficients, bias = head.solved(problem, penalty).linear()
    middle = 0.5 if kind == "multilabel" else 0.0
    same = replace(
        fitted,
        weights=(coefficients / temperature).astype(np.float32),
        bias=((bias - middle) / temperature).astype(np.float32),
    )
    vectors = problem.encoder.encode(problem.texts)
    batch = Batch(problem.texts, vectors)
    np.testing.assert_allclose(same.logits(batch), fitted.logits(batch), atol=2e-4)


@pytest.mark.parametrize("k", [0, 3])
def test_leaving_a_group_out_is_a_refit_without_it(k):
    vectors, y = drawn(np.random.default_rng(4), 16, 4, k)
    groups = np.array([0, 0, 0, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8, 9, 9, 9])
    solved = SolvedRidge.of(vectors, y, max(k, 1), 2.0)
    left = solved.leave_group_out(vectors, y, groups)
    for group in range(10):
        kept = groups != group
        coefficients, bias = SolvedRidge.of(vectors[kept], y[kept], max(k, 1), 2.0).linear()
        np.testing.assert_allclose(left[~kept], vectors[~kept] @ coefficients.T + bias, atol=1e-7)
