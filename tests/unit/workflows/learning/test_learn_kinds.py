"""Labels, scores and pairs that are taught and forgotten at once."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from milepost.entities.configuration import Configuration
from milepost.entities.errors import InputError, UnknownNameError
from milepost.entities.example import Examples
from milepost.predictors.base import Batch
from milepost.testing.encoders import HashedEncoder
from milepost.workflows.answering.answered import Which
from milepost.workflows.answering.asking import answer_texts
from milepost.workflows.contest.improve import improve
from milepost.workflows.contest.options import Options
from milepost.workflows.learning.erasing import Choice
from milepost.workflows.learning.forget import forget
from milepost.workflows.learning.heads import open_head
from milepost.workflows.learning.learn import Teacher
from milepost.workflows.opening import create, open_context
from milepost.workflows.release.differences import compare

WORDS = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "julia")
SAID = {"fruit": "ripe apples and pears of", "tool": "a hammer and saw from"}
OPTIONS = Options(strategies=("head_ridge",))


def hashed(wired):
    encoder = HashedEncoder()
    return replace(wired, encoder=lambda: encoder, bare_encoder=lambda: encoder)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A workspace with released tasks: labels, a score, and a score of pairs."""
    context = hashed(create(tmp_path_factory.mktemp("made") / "desk", Configuration()))
    both = " and ".join(SAID.values())
    sets = [({"text": f"{text} {word}"}, [name]) for word in WORDS for name, text in SAID.items()]
    sets += [({"text": f"{both} {word}"}, sorted(SAID)) for word in WORDS]
    scores = [({"text": f"{text} {word}"}, 1.0 + 3.0 * at + len(word) / 100.0)
              for word in WORDS for at, text in enumerate(SAID.values())]  # fmt: skip
    pairs = [({"a": f"{text} {word}", "b": f"{other} {word}"}, 5.0 if text == other else 0.5 + at)
             for at, word in enumerate(WORDS)
             for text in SAID.values() for other in SAID.values()]  # fmt: skip
    for name, rows, more in (
        ("sets", sets, "kind: multilabel\nobjective: {metric: micro_f1, at_least: 0.5}"),
        ("scores", scores, "kind: score"),
        (
            "pairs",
            pairs,
            "kind: score\nobjective: {metric: mae, at_most: 4}\n"
            "inputs: {a: string, b: string}\ncompose: pair",
        ),
    ):
        lines = [json.dumps({**given, "label": said, "id": f"r{row}"})
                 for row, (given, said) in enumerate(rows)]  # fmt: skip
        (context.root / f"data/{name}.jsonl").write_text("\n".join(lines) + "\n")
        (context.root / f"tasks/{name}.yaml").write_text(
            f"name: {name}\n{more}\ndata: {{examples: data/{name}.jsonl, id: id}}\n"
        )
        contest = improve(context, name, OPTIONS).contest
        assert contest.release == 1, contest.decision.reasons
    context.ledger.close()
    return context.root


@pytest.fixture
def released(template, tmp_path):
    shutil.copytree(template, tmp_path / "desk")
    context = hashed(open_context(tmp_path / "desk"))
    yield context
    context.ledger.close()


def answer(context, task, given):
    return answer_texts(context, task, [given], Which()).predictions.answers[0]


NEW = "a crate of bolts beside the orchard"


def test_labels_are_answered_once_they_are_taught(released):
    teacher = Teacher(released)
    before = answer(released, "sets", NEW)
    said = ["tool"] if before != ("tool",) else ["fruit"]
    for ending in ("", " today", " again", " once more"):
        came = teacher.learn("sets", NEW + ending, said, "x")
        assert came.at_once, came.why
    assert answer(released, "sets", NEW) == tuple(said)
    assert came.label == json.dumps(said)
    again = teacher.learn("sets", NEW, json.dumps(said), "x")
    assert again.feedback is None
    none = teacher.learn("sets", "nothing of that", [], "x")
    assert json.loads(none.label) == []


@pytest.mark.parametrize("separator", [None, " / "])
def test_labels_are_taught_as_a_data_file_says_them(released, separator):
    between = separator or "|"
    if separator:
        file = released.root / "tasks/sets.yaml"
        file.write_text(file.read_text().replace("id: id", f"id: id, separator: '{separator}'"))
    teacher = Teacher(released)
    assert teacher.learn("sets", NEW, f" tool{between}fruit ", "x").label == '["fruit","tool"]'
    assert teacher.learn("sets", f"{NEW} today", "tool", "x").label == '["tool"]'


@pytest.mark.parametrize(
    ("task", "given", "text"),
    [("scores", NEW, NEW), ("pairs", {"a": NEW, "b": "a shed"}, f"{NEW} ␞ a shed")],
)
def test_a_score_comes_nearer_to_what_is_taught(released, task, given, text):
    before = answer(released, task, given)
    came = Teacher(released).learn(task, given, before + 2.0, "x")
    assert came.at_once, came.why
    assert came.before.confidence is None
    assert before < answer(released, task, given) <= before + 2.0
    assert released.ledger.feedback(task)[0].text == text


def test_the_head_that_is_opened_is_the_one_that_answers(released):
    teacher = Teacher(released)
    for word in ("one", "two", "three"):
        assert teacher.learn("scores", f"a saw from {word}", 4.5, "x").at_once
    head = open_head(released, "scores", released.ledger.release("scores", 1))
    assert head.update.learned == 3
    texts = ("a saw from here", "ripe pears")
    batch = Batch(texts, HashedEncoder().encode(texts))
    told = answer_texts(released, "scores", list(texts), Which()).predictions.probabilities
    np.testing.assert_allclose(head.answering.predict(batch).probabilities, told, atol=1e-5)


def test_what_is_forgotten_never_was(released):
    """Equal to a fit without it, at the same penalty."""
    done = forget(released, "scores", None, ["r0", "r3"], reason="asked for")
    assert done.production == "updated"
    head = open_head(released, "scores", released.ledger.release("scores", 1))
    assert head.update.forgotten == 2
    assert len(head.known) == 2 * len(WORDS) - 2


@pytest.mark.parametrize(
    ("task", "where", "rows"),
    [("scores", "label > 3", 10), ("sets", "label like '%tool%'", 20)],
)
def test_rows_are_chosen_by_their_label(released, task, where, rows):
    done = forget(released, task, where, (), reason="asked for", dry_run=True)
    assert done.examples == rows


def test_a_score_that_is_no_number_is_chosen_by_nothing():
    examples = Examples(
        ids=("a", "b", "c"),
        texts=("x", "y", "z"),
        labels=("4.5", "high", None),
        groups=("x", "y", "z"),
        sources=("f:1", "f:2", "f:3"),
    )
    choice = Choice(where="label > 3", ids=frozenset(), input_name="text", numbers=True)
    assert choice.rows(examples, strict=True) == [0]


@pytest.mark.parametrize(
    ("task", "given", "said", "error", "where"),
    [
        ("sets", NEW, ["fruits"], UnknownNameError, "fruits"),
        ("sets", NEW, '["fruit"', InputError, "JSON array"),
        ("sets", NEW, " ", InputError, "JSON array"),
        ("sets", NEW, "fruit|tols", UnknownNameError, "tols"),
        ("scores", NEW, "high", InputError, "finite"),
        ("scores", NEW, float("nan"), InputError, "finite"),
        ("pairs", NEW, 2.0, InputError, "a, b"),
        ("pairs", {"a": NEW}, 2.0, InputError, "'b'"),
        ("pairs", {"a": " ", "b": ""}, 2.0, InputError, "no text"),
    ],
)
def test_what_is_no_truth_or_no_input_is_refused(released, task, given, said, error, where):
    with pytest.raises(error, match=where):
        Teacher(released).learn(task, given, said, "x")
    assert not released.ledger.feedback(task)


def test_what_the_examples_say_otherwise_is_refused(released):
    with pytest.raises(InputError, match="own examples"):
        Teacher(released).learn("scores", f"{SAID['tool']} alpha", 1.0, "x")


@pytest.mark.parametrize("task", ["sets", "scores"])
def test_a_head_that_learned_is_compared_as_it_was_released(released, task):
    found = compare(released, task, "majority", "head_ridge")
    assert found.told == "better"


def test_a_score_far_from_all_others_is_refused(released):
    """In production by what the head knows, and before that by what the files say."""
    where = "77777 is far from those of the examples, 1.04 to 4.07"
    with pytest.raises(InputError, match=where):
        Teacher(released).learn("scores", NEW, 77777, "x")
    file = released.root / "tasks/scores.yaml"
    (released.root / "tasks/more.yaml").write_text(
        file.read_text().replace("name: scores", "name: more")
    )
    with pytest.raises(InputError, match=where):
        Teacher(released).learn("more", NEW, 77777, "x")
    assert not released.ledger.feedback("scores") + released.ledger.feedback("more")
    assert Teacher(released).learn("more", NEW, 6, "x").why == "Nothing is in production yet."
