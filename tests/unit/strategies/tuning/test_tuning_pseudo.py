import dataclasses

import numpy as np
import pytest

from milepost.strategies.tuning.heads import Head, Space, Tried
from milepost.strategies.tuning.pseudo import told_by_itself
from milepost.strategy import Problem
from milepost.testing.encoders import HashedEncoder

WORDS = ("card stolen block", "refund money back", "opening hours today")


def sentences(label, count, seed):
    rng = np.random.default_rng(seed)
    extra = ("please", "now", "hello", "thanks", "sir", "madam", "again", "still", "why", "well")
    return [f"{WORDS[label]} {' '.join(rng.choice(extra, 3))}" for _ in range(count)]


def problem(**changes):
    texts = [text for label in range(3) for text in sentences(label, 12, label)]
    unlabeled = [text for label in range(3) for text in sentences(label, 20, 10 + label)]
    given = Problem(
        labels=("card", "refund", "hours"),
        descriptions=("", "", ""),
        instruction="",
        texts=tuple(texts),
        y=np.repeat(np.arange(3), 12),
        encoder=HashedEncoder(),
        unlabeled=tuple(unlabeled),
    )
    return dataclasses.replace(given, **changes)


def believed(given, most=2000, share=0.5):
    return told_by_itself(Head(given, 10.0, 2.0), Space(given.encoder), most, share)


def test_sure_answers_become_examples_and_are_right():
    given = problem()
    told = believed(given)
    truth = dict(zip(given.unlabeled, np.repeat(np.arange(3), 20), strict=True))
    assert len(truth) / 3 <= len(told.texts) <= len(truth) / 2 + 3
    assert [truth[text] for text in told.texts] == told.y.tolist()


def test_a_share_is_believed_and_it_grows_by_the_surest():
    few, many = (set(believed(problem(), share=share).texts) for share in (0.2, 0.9))
    assert len(few) < len(many)
    assert believed(problem(), share=0.0).texts == ()


def test_no_label_drowns_the_others():
    given = problem()
    many = tuple(sentences(0, 300, 5)) + given.unlabeled[20:]
    told = believed(dataclasses.replace(given, unlabeled=many))
    counts = np.bincount(told.y, minlength=3)
    assert counts[0] <= len(set(many)) * 0.5 / 3 + 1


def test_no_more_are_looked_at_than_asked():
    assert len(believed(problem(), most=10).texts) <= 10


@pytest.mark.parametrize(("changes", "most"), [({"unlabeled": ()}, 10), ({}, 0)])
def test_nothing_is_believed_of_nothing(changes, most):
    told = believed(problem(**changes), most)
    assert told.texts == ()
    assert len(told.y) == 0


def test_a_head_that_learned_nothing_is_known_by_held_out_folds():
    def learns(given):
        return Head(given, 10.0, 0.0).tried((1.0, 2.0)).learns

    assert learns(problem())
    assert not learns(problem(y=np.arange(36) % 3))  # labels that say nothing
    assert not learns(problem().take(np.array([0, 12, 24])))  # too few for folds


def test_an_example_is_no_unlabeled_input():
    given = problem()
    assert believed(dataclasses.replace(given, unlabeled=given.texts)).texts == ()


def test_names_that_mislead_weigh_little_and_names_that_tell_weigh_much():
    told = problem(labels=("card stolen block", "refund money back", "opening hours today"))
    few = told.take(np.arange(0, 36, 3))
    assert Head(few, 10.0, 0.0).tried((1.0, 16.0)).label_weight == 16.0
    swapped = dataclasses.replace(few, labels=(*few.labels[1:], few.labels[0]))
    assert Head(swapped, 10.0, 0.0).tried((1.0, 16.0)).label_weight == 1.0


def test_many_examples_hold_out_no_folds_without_need(monkeypatch):
    monkeypatch.setattr("milepost.strategies.tuning.heads.MOST_TRIED", 10)
    assert Head(problem(unlabeled=()), 10.0, 0.0).tried((1.0, 2.0, 4.0)) == Tried(1.0)
    assert Head(problem(), 10.0, 0.0).tried((1.0, 2.0, 4.0)).learns
