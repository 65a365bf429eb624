"""What must not count as evidence: copies, a holdout of one label, answers to what was learnt."""

import numpy as np
import pandas as pd
import pytest

import milepost as mp
from milepost._base.settings import Settings
from milepost.data.duplicates import regroup
from milepost.data.split import assign_sides
from milepost.entities.errors import InputError, WorkspaceError
from milepost.entities.example import Examples
from milepost.workflows.contest.datasets import once_per_message


def examples(texts, labels):
    n = len(texts)
    bare = Examples(
        ids=tuple(map(str, range(n))),
        texts=tuple(texts),
        labels=tuple(labels),
        groups=("",) * n,
        sources=("a.csv:1",) * n,
    )
    return regroup([bare], 0.8)[0]


def test_a_message_counts_once_per_label():
    given = examples(["Refund me!", "refund me", "card lost", "refund me"], ["a", "a", "b", "b"])
    np.testing.assert_array_equal(once_per_message(given), [0, 2, 3])


def test_copies_of_the_same_rows_are_no_more_evidence(tmp_path):
    rng = np.random.default_rng(0)
    words = ["parcel", "invoice", "late", "paid", "courier", "card", "box", "bank"]
    texts = [f"{' '.join(rng.choice(words, 5))} number {i}" for i in range(40)]
    labels = ["delivery" if "parcel" in t or "courier" in t else "payment" for t in texts]
    frame = pd.DataFrame({"text": texts, "label": labels})
    found = []
    for times in (1, 6):
        workspace = mp.Workspace.create(tmp_path / str(times))
        workspace.add(mp.Task(name="route"), examples=pd.concat([frame] * times))
        contest = workspace.improve("route", strategies=["tfidf_linear"]).contest
        found.append(contest.chosen.scorecard.objective.n)
    assert found == [40, 40]


def test_a_holdout_of_one_label_certifies_nothing():
    settings = Settings(holdout_min=20, holdout_min_per_label=5)
    first = [f"first message {i} about {i * 7}" for i in range(60)]
    later = [f"later note {i} on {i * 3}" for i in range(200)]
    given = examples([*first, *later], [*("ab" * 30), *("a" * 200)])
    known = assign_sides(given.take(range(60)), {}, Settings(), seed=0).new
    sides = assign_sides(given, known, settings, seed=0)
    assert sides.regime == "cross_fitted"
    mixed = examples([*first, *later], [*("ab" * 30), *("ab" * 100)])
    assert assign_sides(mixed, known, settings, seed=0).regime == "holdout"


@pytest.fixture
def released(tmp_path):
    workspace = mp.Workspace.create(tmp_path / "w")
    texts = [f"{word} {i}" for i in range(20) for word in ("parcel late", "invoice wrong")]
    frame = pd.DataFrame({"text": texts, "label": ["delivery", "payment"] * 20})
    workspace.add(mp.Task(name="route"), examples=frame)
    assert workspace.improve("route", strategies=["tfidf_linear"]).contest.release == 1
    return workspace


def test_every_contest_is_a_look_at_its_examples(released):
    again = released.improve("route", seed=1, strategies=["tfidf_linear"]).contest
    assert again.chosen.scorecard.looks == 2
    assert "look 2" in str(mp.Improvement(again, None))


def test_there_is_nothing_to_roll_back_to_before_the_first_release(released):
    with pytest.raises(WorkspaceError, match="oldest"):
        released.rollback("route")


def test_one_text_is_not_a_list_of_texts(released):
    with pytest.raises(InputError, match="one input"):
        released.predict("route", "parcel")
    with pytest.raises(InputError, match="one text"):
        released.improve("route", strategies="tfidf_linear")
    with pytest.raises(InputError, match="not a number"):
        released.improve("route", budget="60s")


def test_a_slice_that_is_no_predicate_is_refused_before_anything_is_written(tmp_path):
    workspace = mp.Workspace.create(tmp_path / "w")
    frame = pd.DataFrame({"text": ["a b", "c d", "e f", "g h"], "label": ["x", "y", "x", "y"]})
    task = mp.Task(name="route", objective=mp.Objective(slices={"bad": "read_text('/etc/passwd')"}))
    with pytest.raises(InputError, match="bad"):
        workspace.add(task, examples=frame)
    assert workspace.task_names() == []
    assert not list((workspace.root / "data").iterdir())
