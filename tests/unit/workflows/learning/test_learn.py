"""One label changes the answer at once, for every process, and the next contest trains on it."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from milepost._base.clock import Deadline
from milepost.contests.runner import predict
from milepost.entities.errors import InputError, UnknownNameError
from milepost.entities.learning import LEARNED, WAITING
from milepost.strategies.head_closed_form import HeadClosedForm
from milepost.workflows.answering.answered import Which
from milepost.workflows.answering.asking import answer_texts
from milepost.workflows.contest.datasets import Split, prepared
from milepost.workflows.contest.improve import improve
from milepost.workflows.contest.options import Options
from milepost.workflows.contest.setting import problem_of
from milepost.workflows.context import Context
from milepost.workflows.learning import learn as learning
from milepost.workflows.learning.heads import open_head
from milepost.workflows.learning.learn import Teacher, harm
from milepost.workflows.release.bundles import find_answerer

OPTIONS = Options(strategies=("head_closed_form",))
NEW = "a crate of bolts beside the orchard"


def answers(context: Context, *texts: str, release: int | None = None) -> list[str | None]:
    found = answer_texts(context, "things", list(texts), Which(release=release))
    return list(found.predictions.answers)


def test_one_label_changes_the_answer_for_everybody(released: Context) -> None:
    (before,) = answers(released, NEW)
    label = "fruit" if before == "tool" else "tool"
    came = Teacher(released).learn("things", NEW, label, "seen by hand")
    assert came.at_once
    assert came.release == 1
    assert came.learned == 1
    assert came.before is not None
    assert came.after is not None
    assert (came.before.label, came.after.label) == (before, label)
    assert answers(released, NEW) == [label]
    # a release is what it was, whatever it learned since
    assert answers(released, NEW, release=1) == [before]
    update = released.ledger.release_update("things", 1)
    assert update is not None
    assert (update.learned, update.forgotten) == (1, 0)
    (entry,) = released.ledger.audit(1)
    assert (entry.action, entry.subject, entry.reason) == (
        "release.updated",
        "things#1",
        "seen by hand",
    )
    assert NEW not in repr(entry)
    (said,) = released.ledger.feedback("things")
    assert (said.text, said.label, said.channel) == (NEW, label, LEARNED)
    manifest = find_answerer(released, "things", None, None, updated=True).manifest
    assert manifest.metrics == {}


def test_the_updated_head_is_the_one_that_is_fitted_with_the_label(released: Context) -> None:
    teacher = Teacher(released)
    taught = [(NEW, "tool"), ("plums in a basket", "fruit"), (NEW, "fruit")]
    for text, label in taught:
        assert teacher.learn("things", text, label, "x").at_once
    release = released.ledger.release("things", 1)
    head = open_head(released, "things", release)
    contest = released.ledger.contest(release.contest)
    split = msgspec.json.decode(released.artifacts.get(contest.split or ""), type=Split)
    material = prepared(released, split)
    task = released.ledger.task("things").task
    problem = problem_of(released, task, material, 0, Deadline(), lambda what, share: None)
    # the last word on a text counts, and the others leave no trace
    more = replace(
        problem,
        texts=(*problem.texts, "plums in a basket", NEW),
        y=np.append(problem.y, [0, 0]),
    )
    statistics = HeadClosedForm().statistics(more)
    np.testing.assert_allclose(head.solved.statistics.sums, statistics.sums, atol=1e-6)
    refitted = head.solved.of(statistics, head.solved.shrinkage)
    for one, other in zip(head.solved.linear(), refitted.linear(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    probabilities = predict(head.answering, [NEW], released.encoder())
    update = released.ledger.release_update("things", 1)
    assert update is not None
    assert update.learned == 2
    assert probabilities.shape == (1, 2)


def test_two_teachers_do_not_lose_each_others_labels(released: Context) -> None:
    one, other = Teacher(released), Teacher(released)
    assert one.learn("things", NEW, "tool", "x").learned == 1
    assert other.learn("things", "a ladder in the shed", "tool", "x").learned == 2
    came = one.learn("things", "cherries on a plate", "fruit", "x")
    assert came.learned == 3
    fresh = open_head(released, "things", released.ledger.release("things", 1))
    assert {each.source for each in fresh.known.values()} >= {""}
    assert sum(not each.source for each in fresh.known.values()) == 3


def test_what_is_known_changes_nothing(released: Context) -> None:
    teacher = Teacher(released)
    text, label = "ripe apples and pears of alpha", "fruit"
    came = teacher.learn("things", text, label, "x")
    assert came.at_once
    assert came.feedback is None
    assert released.ledger.release_update("things", 1) is None
    assert teacher.learn("things", NEW, "tool", "x").learned == 1
    assert teacher.learn("things", f" {NEW} ", "tool", "x").feedback is None
    assert len(released.ledger.feedback("things")) == 1


def test_bad_input_is_refused_with_a_reason(released: Context) -> None:
    teacher = Teacher(released)
    with pytest.raises(UnknownNameError, match="Did you mean 'fruit'"):
        teacher.learn("things", NEW, "fruits", "x")
    with pytest.raises(UnknownNameError):
        teacher.learn("thing", NEW, "fruit", "x")
    with pytest.raises(InputError, match="there is no text"):
        teacher.learn("things", " \n", "fruit", "x")
    text = "ripe apples and pears of alpha"
    with pytest.raises(InputError, match="own examples say") as refused:
        teacher.learn("things", text, "tool", "x")
    assert "data/things.csv:2" in str(refused.value)
    assert released.ledger.feedback("things") == ()


def test_without_a_release_the_label_waits(context: Context, things: str) -> None:
    came = Teacher(context).learn(things, NEW, "tool", "x")
    assert not came.at_once
    assert came.release is None
    assert came.why == "Nothing is in production yet."
    (said,) = context.ledger.feedback(things)
    assert said.channel == WAITING
    contest = improve(context, things, OPTIONS).contest
    card = contest.candidates[0].scorecard
    assert card is not None
    assert any("1 correction from feedback" in note for note in card.notes)


@pytest.mark.slow
def test_another_strategy_keeps_the_label_for_the_next_contest(
    context: Context, things: str
) -> None:
    contest = improve(context, things, Options(strategies=("tfidf_linear",))).contest
    assert contest.release == 1, contest.decision.reasons
    came = Teacher(context).learn(things, NEW, "tool", "x")
    assert not came.at_once
    assert "It is `tfidf_linear`" in came.why
    assert context.ledger.release_update(things, 1) is None


def test_a_head_that_gets_worse_at_its_own_examples_is_not_followed(
    released: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = Teacher(released)
    teacher.learn("things", NEW, "tool", "x")
    head = open_head(released, "things", released.ledger.release("things", 1))
    vectors, y = head.guard
    # The very examples, each with the other label and many times over.
    harmed = head.solved
    for _ in range(3):
        for vector, label in zip(vectors, y, strict=True):
            harmed = harmed.with_example(vector, 1 - int(label))
    assert harm(head, head.solved) == ""
    assert "of the release's own examples wrong" in harm(head, harmed)
    monkeypatch.setattr(learning, "DOUBT", 2.0)
    monkeypatch.setattr(learning, "harm", lambda head, solved: harm(head, harmed))
    came = teacher.learn("things", "some rope from a barn", "tool", "x")
    assert not came.at_once
    assert came.before == came.after
    assert "own examples wrong" in came.why
    update = released.ledger.release_update("things", 1)
    assert update is not None
    assert update.learned == 1


@pytest.mark.slow
def test_the_next_release_takes_the_place_of_what_was_learned(released: Context) -> None:
    Teacher(released).learn("things", NEW, "tool", "x")
    update = released.ledger.release_update("things", 1)
    assert update is not None
    # numbers are measured on releases as they were made
    assert find_answerer(released, "things", None, None).update is None
    first = released.ledger.contest(released.ledger.release("things", 1).contest)
    contest = improve(released, "things", OPTIONS).contest
    assert contest.id != first.id
    if contest.release is None:  # it was not shown to be better
        assert released.ledger.release_update("things", 1) is not None
    else:
        assert released.ledger.release_update("things", contest.release) is None
