"""A solved discriminant that changed by single examples is the one that is solved from scratch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.strategies.discriminant import ClassStatistics, Discriminant
from milepost.strategies.incremental import SOLVE_EVERY, SolvedDiscriminant


def unit_vectors(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    vectors = rng.normal(size=(n, d))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def statistics(seed: int, n: int, d: int, k: int) -> tuple[ClassStatistics, np.ndarray, np.ndarray]:
    """Statistics of labels' own texts and ``n`` examples, and the examples."""
    rng = np.random.default_rng(seed)
    prior = ClassStatistics.of(unit_vectors(rng, k, d), np.arange(k), k, np.full(k, 2.0))
    vectors, y = unit_vectors(rng, n, d), rng.integers(0, k, n)
    return prior.add(vectors, y), vectors, y


def apart(one: SolvedDiscriminant, other: ClassStatistics, shrinkage: float) -> float:
    pairs = zip(one.linear(), Discriminant(other).linear(shrinkage), strict=True)
    return max(float(np.abs(a - b).max()) for a, b in pairs)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(2, 40),
    d=st.integers(2, 24),
    k=st.integers(2, 6),
    shrinkage=st.sampled_from([0.1, 0.5, 2.0, 50.0]),
    moves=st.lists(st.integers(0, 79), max_size=2 * SOLVE_EVERY + 4),
)
def test_any_sequence_of_changes_equals_a_refit(
    seed: int, n: int, d: int, k: int, shrinkage: float, moves: list[int]
) -> None:
    everything, vectors, y = statistics(seed, n, d, k)
    rng = np.random.default_rng(seed + 1)
    more, labels = unit_vectors(rng, 40, d), rng.integers(0, k, 40)
    pool, pool_y = np.concatenate([vectors, more]), np.concatenate([y, labels])
    inside = set(range(n))
    solved = SolvedDiscriminant.of(everything, shrinkage)
    for move in moves:
        row = move % len(pool)
        if row in inside:
            inside.remove(row)
            solved = solved.without_example(pool[row], int(pool_y[row]))
        else:
            inside.add(row)
            solved = solved.with_example(pool[row], int(pool_y[row]))
    prior = everything.remove(vectors, y)
    rows = sorted(inside)
    refitted = prior.add(pool[rows], pool_y[rows]) if rows else prior
    assert apart(solved, refitted, shrinkage) < 1e-6
    np.testing.assert_allclose(solved.statistics.scatter, refitted.scatter, atol=1e-9)


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(3, 60), gone=st.data())
def test_forgetting_several_equals_a_refit_without_them(
    seed: int, n: int, gone: st.DataObject
) -> None:
    everything, vectors, y = statistics(seed, n, 16, 4)
    rows = np.asarray(sorted(gone.draw(st.sets(st.integers(0, n - 1), max_size=n))), np.int64)
    solved = SolvedDiscriminant.of(everything, 0.5).without(vectors[rows], y[rows])
    kept = np.setdiff1d(np.arange(n), rows)
    prior = everything.remove(vectors, y)
    refitted = prior.add(vectors[kept], y[kept]) if len(kept) else prior
    assert apart(solved, refitted, 0.5) < 1e-6


@pytest.mark.parametrize("shrinkage", [0.1, 2.0])
def test_each_left_out_is_a_fit_without_it(shrinkage: float) -> None:
    everything, vectors, y = statistics(3, 30, 12, 3)
    solved = SolvedDiscriminant.of(everything, shrinkage)
    found = solved.leave_one_out(vectors, y)
    np.testing.assert_allclose(
        found, Discriminant(everything).leave_one_out(vectors, y, shrinkage), atol=1e-9
    )
    for row in (0, 17):
        coefficients, bias = solved.without_example(vectors[row], int(y[row])).linear()
        logits = coefficients @ vectors[row] + bias
        np.testing.assert_allclose(found[row] - found[row].max(), logits - logits.max(), atol=1e-9)


def test_what_cannot_be_solved_is_refused() -> None:
    empty = ClassStatistics.empty(2, 3)
    with pytest.raises(ValueError, match="positive weight"):
        SolvedDiscriminant.of(empty, 0.5)
    x = np.eye(3)
    one_each = empty.add(x[:2], np.array([0, 1]))
    with pytest.raises(ValueError, match="above 0"):
        SolvedDiscriminant.of(one_each, 0.0)
    solved = SolvedDiscriminant.of(one_each, 0.5)
    with pytest.raises(ValueError, match="no weight left"):
        solved.without_example(x[0], 0)
    with pytest.raises(ValueError, match="no weight left"):
        solved.leave_one_out(x[:2], np.array([0, 1]))
    with pytest.raises(ValueError, match="positive weight"):
        solved.without(x[:1], np.array([0]))
