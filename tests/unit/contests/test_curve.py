"""The learning curve grows, answers every row, and never by a predictor that saw its group."""

from dataclasses import replace

import numpy as np
import pytest

from milepost.contests.curve import learning_curve
from milepost.data.splitting.folding import FIRST, Folding
from milepost.predictors.constant import ConstantPredictor
from milepost.strategies.head_closed_form import HeadClosedForm
from milepost.strategies.head_ridge import HeadRidge
from milepost.strategy import Problem
from milepost.testing.encoders import HashedEncoder
from milepost.testing.strategies import example_problem

GREETINGS = ("hello there", "good morning", "hi friend", "welcome back", "nice to meet you")
BILLS = ("pay the invoice", "the bill is wrong", "refund my money", "card was charged", "receipt")


def problem(copies=6):
    pairs = [(f"{t} {c}", y) for y, ts in enumerate((GREETINGS, BILLS)) for t in ts
             for c in range(copies)]  # fmt: skip
    return Problem(
        labels=("greeting", "bill"),
        descriptions=("", ""),
        instruction="",
        texts=tuple(t for t, _ in pairs),
        y=np.array([y for _, y in pairs]),
        encoder=HashedEncoder(),
    )


class Telling:
    """Answers 1 where a row was left out of a fit to its like, 0 where it was not drawn at all."""

    def leave_group_out(self, given, groups):
        del groups
        logits = np.tile([0.0, 1.0], (len(given.texts), 1))
        return self.fit(given), logits

    def fit(self, given):
        return ConstantPredictor(labels=given.labels, log_prior=np.array([1.0, 0.0]))


class Remembering(Telling):
    """Notes what it was fitted to."""

    def __init__(self):
        self.fits = []

    def fit(self, given):
        self.fits.append(given.texts)
        return super().fit(given)


def test_sizes_grow_to_all_examples_and_groups_stay_whole():
    given = problem()
    groups = [text.rsplit(" ", 1)[0] for text in given.texts]
    points = learning_curve(given, groups, HeadClosedForm(), draws=3)
    sizes = [point.examples for point in points]
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == len(given.texts)
    assert [len(point.answers) for point in points[:-1]] == [3] * (len(points) - 1)
    assert len(points[-1].answers) == 1


def test_drawn_rows_are_answered_without_their_group_and_the_rest_by_the_draw():
    given = problem()
    groups = [text.rsplit(" ", 1)[0] for text in given.texts]
    for point in learning_curve(given, groups, Telling(), draws=2):
        assert point.examples == round(point.answers.sum(axis=1).mean())
        for answers in point.answers:
            for group in set(groups):
                assert (
                    len({int(a) for a, g in zip(answers, groups, strict=True) if g == group}) == 1
                )


def test_the_head_learns_the_two_topics_and_the_curve_repeats():
    given = problem()
    groups = [str(i) for i in range(len(given.texts))]
    first, second = (learning_curve(given, groups, HeadClosedForm()) for _ in range(2))
    assert (first[-1].answers[0] == given.y).mean() > 0.9
    for one, two in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.answers, two.answers)


def test_too_many_labels_for_a_share_leave_it_out():
    given = problem(copies=1)
    points = learning_curve(given, list(given.texts), HeadClosedForm())
    assert min(point.examples for point in points) >= 4


def test_answers_are_probabilities():
    for point in learning_curve(problem(), problem().texts, HeadClosedForm(), draws=1):
        np.testing.assert_allclose(point.probabilities.sum(axis=2), 1.0, rtol=1e-5)


def test_with_times_every_fit_is_to_earlier_rows_and_the_prefix_grows():
    given = problem()
    n = len(given.texts)
    at = np.random.default_rng(0).permutation(n)
    block = np.where(at < n // 2, at % FIRST, FIRST + (at - n // 2) // 10)
    folding = Folding(block, block >= FIRST, forward=True)
    time_of = dict(zip(given.texts, at.tolist(), strict=True))
    starts = [min(at[block == b].tolist()) for b in range(FIRST, folding.count)]
    strategy = Remembering()
    points = learning_curve(given, given.texts, strategy, draws=2, folding=folding)
    assert len(points) >= 3
    for number, texts in enumerate(strategy.fits):
        assert max(time_of[text] for text in texts) < starts[number % len(starts)]
    sizes = [point.examples for point in points]
    assert sizes == sorted(set(sizes))
    # the last point is fitted to everything before each block, on average over the answers
    whole = [int((at < start).sum()) for start in starts]
    answers = [int((block == b).sum()) for b in range(FIRST, folding.count)]
    assert sizes[-1] == round(float(np.average(whole, weights=answers)))
    early = block < FIRST
    np.testing.assert_allclose(points[-1].probabilities[:, early], 0.5)


@pytest.mark.parametrize("kind", ["multilabel", "score"])
def test_sets_and_scores_have_one_too(kind):
    given = replace(example_problem(HashedEncoder(), kind=kind), metric="micro_f1")
    groups = [str(row // 2) for row in range(len(given.texts))]
    points = learning_curve(given, groups, HeadRidge(), draws=2)
    assert [point.examples for point in points] == sorted({point.examples for point in points})
    assert points[-1].examples == len(given.texts)
    last = points[-1].probabilities[0]
    assert last.shape == (len(given.texts), len(given.labels))
    assert np.isfinite(last).all()
