"""Planted wrong labels come first, with reasons; leaving them out is measured both ways."""

import numpy as np
import pytest

from milepost.entities.example import Examples
from milepost.evaluation.label_quality import (
    Labelled,
    agreeing_groups,
    describe,
    removal,
    suspicion,
)
from milepost.metrics.auditing.confident import (
    class_thresholds,
    confident_labels,
    nearest,
    neighbour_votes,
)
from milepost.strategies.discriminant import ClassStatistics, Discriminant

K, D, N = 3, 12, 150


def planted(seed=0, wrong=10):
    rng = np.random.default_rng(seed)
    centres = 1.6 * rng.normal(size=(K, D)) / np.sqrt(D)
    truth = rng.integers(0, K, N)
    x = centres[truth] + 0.5 * rng.normal(size=(N, D)) / np.sqrt(D)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = truth.copy()
    hit = rng.choice(N, wrong, replace=False)
    y[hit] = (y[hit] + 1) % K
    return x.astype(np.float32), y, hit


def answering_with(x, y, groups):
    def answering(kept, within):
        assert not (kept & ~within).any()
        prior = ClassStatistics.of(np.eye(K, D), np.arange(K), K, np.full(K, 0.01))
        fitted = Discriminant(ClassStatistics.of(x[kept], y[kept], K).merge(prior))
        coefficients, bias = fitted.linear(1.0)
        logits = x @ coefficients.T + bias
        logits[kept] = fitted.leave_group_out(x[kept], y[kept], groups[kept], 1.0)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    return answering


def labelled(x, y, groups):
    return Labelled(vectors=x, y=y, groups=groups, answering=answering_with(x, y, groups))


def test_planted_wrong_labels_rank_first_with_reasons():
    x, y, hit = planted()
    groups = np.arange(N)
    found = suspicion(labelled(x, y, groups))
    first = np.argsort(-found.of(y))[: len(hit)]
    assert len(set(first.tolist()) & set(hit.tolist())) >= 8
    names = tuple(str(i) for i in range(N))
    examples = Examples(names, names, tuple("abc"[c] for c in y), names, names)
    listed = describe(examples, ("a", "b", "c"), y, groups, found, 5)
    assert [each.id for each in listed] == [str(i) for i in first[:5]]
    assert all(each.label != each.suggested and len(each.reasons) >= 2 for each in listed)
    assert all(0.0 <= each.probability < each.suggested_probability for each in listed)


def test_removal_is_judged_on_the_same_rows_before_and_after():
    x, y, _ = planted()
    groups = np.arange(N)
    effect = removal("accuracy", labelled(x, y, groups), groups % 5, 0.95)
    assert effect.n == N
    assert effect.after - effect.before == pytest.approx(effect.difference)
    assert effect.low <= effect.difference <= effect.high


def test_labels_that_judge_have_no_part_in_who_is_left_out():
    """Other labels in a fold change what is measured on it, and no answer before or after."""
    x, y, _ = planted()
    groups, folds = np.arange(N), np.arange(N) % 5
    other = np.where(folds == 2, (y + 1) % K, y)
    within = folds != 2
    first, second = (suspicion(labelled(x, labels, groups), within) for labels in (y, other))
    np.testing.assert_array_equal(first.mean, second.mean)
    np.testing.assert_array_equal(
        agreeing_groups(first.mean, y, groups, within),
        agreeing_groups(second.mean, other, groups, within),
    )


def test_removal_promises_nothing_where_no_label_is_wrong():
    """Labels by lot: whoever is left out, the rest is as good as before; 40 repeats."""
    differences = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(N, D)).astype(np.float32)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        effect = removal(
            "accuracy", labelled(x, rng.integers(0, K, N), np.arange(N)), np.arange(N) % 5, 0.95
        )
        differences.append(effect.difference)
    assert abs(np.mean(differences)) < 0.02


def test_a_group_is_left_out_whole():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]])
    kept = agreeing_groups(probabilities, np.zeros(4, np.int64), np.array([4, 4, 5, 6]))
    assert kept.tolist() == [False, False, True, True]


def test_of_a_label_the_two_groups_that_are_beaten_by_least_stay():
    given = np.array([[0.1, 0.9], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8], [0.1, 0.9]])
    y = np.array([0, 0, 0, 1, 1])
    kept = agreeing_groups(given, y, np.arange(5))
    assert kept.tolist() == [False, True, True, True, True]
    kept = agreeing_groups(given, y, np.arange(5), np.array([True, False, True, True, True]))
    assert kept.tolist() == [True, False, True, True, True]


def test_confident_learning_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.3, 0.7], [0.4, 0.6], [0.55, 0.45]])
    y = np.array([0, 0, 1, 1])
    np.testing.assert_allclose(class_thresholds(probabilities, y), [0.6, 0.525])
    assert confident_labels(probabilities, y).tolist() == [0, 1, 1, -1]


def test_neighbours_are_of_other_groups_and_among_the_kept():
    x = np.eye(4, dtype=np.float32)[[0, 0, 0, 1]]
    rows, close = nearest(x, np.array([1, 1, 2, 3]), np.array([True, True, True, False]))
    assert rows[0, 0] == 2
    assert close[0, 0] == 1.0
    assert np.isneginf(close[0, 1:]).all()
    votes = neighbour_votes(rows, close, np.array([0, 0, 1, 1]), 2)
    assert votes[0, 1] > 0.999
    alone = neighbour_votes(np.zeros((1, 1), int), np.array([[-np.inf]]), np.array([0]), 2)
    np.testing.assert_allclose(alone, 0.5)
