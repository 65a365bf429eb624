"""The learning curve grows, answers every row, and never by a predictor that saw its group."""

import numpy as np

from milepost.contests.curve import learning_curve
from milepost.predictors.constant import ConstantPredictor
from milepost.strategies.head_closed_form import HeadClosedForm
from milepost.strategy import Problem
from milepost.testing.encoders import HashedEncoder

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
        return ConstantPredictor(labels=given.labels, log_prior=np.array([1.0, 0.0])), logits


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
