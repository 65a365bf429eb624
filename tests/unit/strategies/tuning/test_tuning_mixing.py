"""How tasks share a tuning: who is drawn, how losses are weighed, what becomes of conflicts."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from milepost.strategies.tuning.mixing import Mix, Mixture, Weights, projected
from milepost.strategies.tuning.records import Corpus


def corpus(name, n, weight=1.0):
    y = np.arange(n, dtype=np.int64) % 2
    texts = tuple(f"{name} {row}" for row in range(n))
    return Corpus(name=name, labels=("one", "two"), texts=texts, y=y, weight=weight)


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=8), st.floats(0, 1))
def test_shares_are_probabilities_in_the_order_of_size(sizes, exponent):
    shares = Mix(exponent=exponent, cap=500).shares(sizes)
    assert shares.sum() == pytest.approx(1.0)
    order = np.argsort(sizes, kind="stable")
    assert (np.diff(shares[order]) >= -1e-12).all()


def test_a_cap_keeps_a_large_task_from_drowning_the_others():
    free = Mix(exponent=1.0, cap=1_000_000).shares([10, 100_000])
    capped = Mix(exponent=1.0, cap=100).shares([10, 100_000])
    assert free[0] < 0.001 < 0.09 < capped[0]


def test_an_exponent_of_zero_draws_all_tasks_alike():
    assert Mix(exponent=0.0).shares([1, 900]) == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("wrong", [{"at_once": 0}, {"cap": 0}, {"exponent": 1.5}])
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="at least 1"):
        Mix(**wrong)


def test_a_step_holds_distinct_tasks_and_rows_of_their_own():
    corpora = [corpus("a", 6), corpus("b", 40), corpus("c", 9)]
    mixture = Mixture(Mix(at_once=2), corpora, seed=0)
    rng = np.random.default_rng(0)
    for step in range(20):
        drawn = mixture.draw(step, 16, rng)
        assert len({each.corpus for each in drawn}) == 2
        for each in drawn:
            assert each.rows.max() < len(corpora[each.corpus].with_labels()[1])
            assert len(set(each.rows.tolist())) == len(each.rows) <= 8


def test_a_corpus_of_more_weight_is_drawn_more_often():
    corpora = [corpus("a", 10), corpus("b", 10, weight=9.0)]
    mixture = Mixture(Mix(at_once=1), corpora, seed=0)
    rng = np.random.default_rng(1)
    drawn = [mixture.draw(step, 8, rng)[0].corpus for step in range(200)]
    assert 0.8 < np.mean(drawn) < 0.98


def test_uncertainty_weighs_a_noisy_task_less():
    weights = Weights("uncertainty", 2)
    for _ in range(5):
        found = weights.of([0, 1], [4.0, 1.0])
    assert found == pytest.approx([0.4, 1.6])


def test_famo_turns_to_the_task_that_falls_slowly():
    weights = Weights("famo", 2)
    for step in range(30):
        found = weights.of([0, 1], [2.0 * 0.9**step, 2.0])
    # Without any scores each would count by the inverse of its loss.
    assert found[1] / found[0] > 2.0 * 0.9**29 / 2.0
    assert found.mean() == pytest.approx(1.0)


def test_uniform_weights_are_ones_whatever_the_losses():
    assert Weights("uniform", 3).of([2, 0], [0.1, 9.0]).tolist() == [1.0, 1.0]


def test_projecting_leaves_agreeing_gradients_alone():
    one, other = [torch.tensor([1.0, 0.5])], [torch.tensor([0.5, 1.0])]
    [found] = projected([one, other], np.random.default_rng(0))
    assert torch.allclose(found, torch.tensor([1.5, 1.5]))


@given(st.lists(st.floats(-3, 3), min_size=4, max_size=4))
def test_of_two_conflicting_tasks_neither_is_made_worse(values):
    one, other = torch.tensor(values[:2]), torch.tensor(values[2:])
    [found] = projected([[one], [other]], np.random.default_rng(0))
    if float(torch.dot(one, other)) < 0:
        assert float(torch.dot(found, one)) >= -1e-4
        assert float(torch.dot(found, other)) >= -1e-4


@pytest.mark.parametrize("conflicts", ["sum", "project"])
def test_backward_leaves_the_mean_of_the_losses_in_the_gradients(conflicts):
    mixture = Mixture(Mix(at_once=2, conflicts=conflicts), [corpus("a", 4), corpus("b", 4)], seed=0)
    shared = torch.tensor([1.0, 2.0], requires_grad=True)
    own = torch.tensor([1.0], requires_grad=True)
    drawn = mixture.draw(0, 8, np.random.default_rng(0))
    losses = [(shared * torch.tensor([1.0, 0.0])).sum(), (shared.sum() * own).sum()]
    mixture.backward(drawn, losses, [shared])
    assert shared.grad.tolist() == pytest.approx([1.0, 0.5])
    assert own.grad.tolist() == pytest.approx([1.5])
