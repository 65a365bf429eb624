"""Statistics add, remove and merge exactly; leaving one out is exact."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.strategies.discriminant import ClassStatistics, Discriminant

K, D = 3, 5
SIZES = st.integers(0, 25)
SEEDS = st.integers(0, 2**32 - 1)


def draw(seed, n, d=D):
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(n, d))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), generator.integers(K, size=n)


def assert_close(first, second):
    for name in ("counts", "sums", "scatter"):
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), atol=1e-8)


@settings(max_examples=60)
@given(SEEDS, SIZES, SIZES)
def test_add_then_remove_is_the_identity(seed, n, m):
    base = ClassStatistics.of(*draw(seed, n), K)
    further = draw(seed + 1, m)
    assert_close(base.add(*further).remove(*further), base)


@settings(max_examples=60)
@given(SEEDS, SIZES, SIZES)
def test_merge_is_the_fit_on_the_union(seed, n, m):
    (x, y), (further, labels) = draw(seed, n), draw(seed + 1, m)
    merged = ClassStatistics.of(x, y, K).merge(ClassStatistics.of(further, labels, K))
    both = ClassStatistics.of(np.vstack([x, further]), np.concatenate([y, labels]), K)
    assert_close(merged, both)
    assert_close(merged.subtract(ClassStatistics.of(x, y, K)), both.remove(x, y))


@settings(max_examples=60)
@given(SEEDS, SIZES)
def test_the_order_of_examples_does_not_matter(seed, n):
    x, y = draw(seed, n)
    one_by_one = ClassStatistics.empty(K, D)
    for i in np.random.default_rng(seed).permutation(n):
        one_by_one = one_by_one.add(x[i : i + 1], y[i : i + 1])
    assert_close(one_by_one, ClassStatistics.of(x, y, K))


def test_a_weight_counts_as_that_many_copies():
    x, y = draw(0, 6)
    weights = np.array([1, 2, 3, 1, 1, 2])
    copies = ClassStatistics.of(np.repeat(x, weights, axis=0), np.repeat(y, weights), K)
    assert_close(ClassStatistics.of(x, y, K, weights), copies)


def test_changes_leave_the_original_alone():
    x, y = draw(0, 8)
    base = ClassStatistics.of(x, y, K)
    before = base.scatter.copy()
    base.add(x, y)
    np.testing.assert_array_equal(base.scatter, before)


def prior_of(seed, weight):
    x, _ = draw(seed, K)
    return ClassStatistics.of(x, np.arange(K), K, np.full(K, weight))


@settings(max_examples=60)
@given(SEEDS, st.integers(1, 20), st.sampled_from([0.5, 1.0, 2.0]), st.sampled_from([0.01, 1, 30]))
def test_leave_one_out_is_a_refit_without_the_example(seed, n, weight, shrinkage):
    x, y = draw(seed, n)
    prior = prior_of(seed + 1, weight)
    everything = ClassStatistics.of(x, y, K).merge(prior)
    fast = Discriminant(everything).leave_one_out(x, y, shrinkage)
    for i in range(n):
        kept = np.arange(n) != i
        refit = Discriminant(ClassStatistics.of(x[kept], y[kept], K).merge(prior))
        coefficients, bias = refit.linear(shrinkage)
        slow = coefficients @ x[i] + bias
        # a discriminant is linear up to the term that all labels share
        np.testing.assert_allclose(
            fast[i] - fast[i].mean(), slow - slow.mean(), rtol=1e-6, atol=1e-6
        )


@settings(max_examples=60)
@given(SEEDS, st.integers(1, 30), st.sampled_from([0.5, 2.0]), st.sampled_from([0.1, 1, 30]))
def test_leave_group_out_is_a_refit_without_the_group(seed, n, weight, shrinkage):
    x, y = draw(seed, n)
    # a few large groups, with more rows than there are dimensions, and many small ones
    groups = np.random.default_rng(seed).integers(0, max(1, n // 4), n) ** 2
    prior = prior_of(seed + 1, weight)
    everything = ClassStatistics.of(x, y, K).merge(prior)
    fast = Discriminant(everything).leave_group_out(x, y, groups, shrinkage)
    for group in np.unique(groups):
        out = groups == group
        refit = Discriminant(ClassStatistics.of(x[~out], y[~out], K).merge(prior))
        coefficients, bias = refit.linear(shrinkage)
        slow = x[out].astype(np.float64) @ coefficients.T + bias
        centred = slow - slow.mean(axis=1, keepdims=True)
        error = np.abs(fast[out] - fast[out].mean(axis=1, keepdims=True) - centred)
        assert error.max() <= 1e-8 * max(1.0, np.abs(centred).max())


def test_groups_of_one_are_leave_one_out_in_any_order():
    x, y = draw(5, 12)
    fitted = Discriminant(ClassStatistics.of(x, y, K).merge(prior_of(6, 1.0)))
    names = np.random.default_rng(0).permutation(12)
    np.testing.assert_array_equal(
        fitted.leave_group_out(x, y, names, 0.5), fitted.leave_one_out(x, y, 0.5)
    )
    assert fitted.leave_group_out(x[:0], y[:0], names[:0], 0.5).shape == (0, K)


def test_linear_is_the_textbook_discriminant():
    x, y = draw(3, 40)
    statistics = ClassStatistics.of(x, y, K)
    coefficients, bias = Discriminant(statistics).linear(0.7)
    means = np.stack([x[y == c].mean(axis=0) for c in range(K)]).astype(np.float64)
    within = sum((x[y == c] - means[c]).T @ (x[y == c] - means[c]) for c in range(K))
    covariance = (within + 0.7 * np.eye(D)) / (40 + 0.7 * D)
    expected = np.linalg.solve(covariance, means.T).T
    np.testing.assert_allclose(coefficients, expected, rtol=1e-5, atol=1e-5)
    prior = np.log(np.bincount(y) / 40)
    np.testing.assert_allclose(bias, prior - 0.5 * (expected * means).sum(1), rtol=1e-5)


def test_labels_without_weight_are_refused():
    x, _ = draw(0, 10)
    with pytest.raises(ValueError, match="positive weight"):
        Discriminant(ClassStatistics.of(x, np.zeros(10, np.int64), K))
    single = ClassStatistics.of(x[:K], np.arange(K), K)
    with pytest.raises(ValueError, match="no weight left"):
        Discriminant(single).leave_one_out(x[:1], np.array([0]), 1.0)
    pairs = ClassStatistics.of(x[: 2 * K], np.arange(2 * K) % K, K)
    both = np.array([0, K])
    with pytest.raises(ValueError, match="without the group"):
        Discriminant(pairs).leave_group_out(x[both], np.array([0, 0]), np.array([7, 7]), 1.0)
