"""Feedback as training rows: votes, limits, and that it never judges nor leaks into a judge."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.data.duplicates import group_texts
from milepost.data.splitting.folding import FIRST, fold_examples
from milepost.entities.example import Examples
from milepost.entities.ids import ContestId
from milepost.entities.serving import Feedback
from milepost.predictors.preparation import preparation
from milepost.storage import tables
from milepost.storage.records.base import to_json
from milepost.storage.records.feedback import content_digest
from milepost.testing.records import START
from milepost.workflows.contest.corrections import (
    FEWEST,
    feedback_for,
    resolved,
)
from milepost.workflows.contest.datasets import Material, prepare, prepared
from milepost.workflows.contest.improve import Improvement, improve
from milepost.workflows.contest.options import Options
from milepost.workflows.context import Context
from milepost.workflows.tasks.files import read_task

PLAIN = preparation((), None, 1000)
LABELS = {"fruit", "tool"}
HEAD = ("head_closed_form",)


def said(
    number: int, text: str | None, label: str | None, key: str | None = "k1", **more: object
) -> Feedback:
    """Feedback, newer with larger numbers."""
    fields = {
        "id": f"f{number:032x}",
        "trace": f"t{number:032x}",
        "task": "things",
        "release": 1,
        "channel": "production",
        "at": START + timedelta(seconds=number),
        "key": key,
        "label": label,
        "text": text,
    }
    return Feedback(**{**fields, **more})  # type: ignore[arg-type]


def labels_of(*feedback: Feedback) -> tuple[dict[str, str], Counter[str]]:
    """What is right for each text, and how many pieces were left out and why."""
    left: Counter[str] = Counter()
    newest = sorted(feedback, key=lambda each: each.id, reverse=True)
    found = resolved(newest, ("classify", LABELS), PLAIN, left)
    return {each.text: each.label for each in found}, +left


def test_a_correction_is_what_was_said_last() -> None:
    found, left = labels_of(said(1, "a pear", "tool"), said(2, "a pear", "fruit"))
    assert found == {"a pear": "fruit"}
    assert left == {"said again, or otherwise, by the same key later": 1}


def test_most_voices_decide_and_ties_do_not() -> None:
    voices = [said(n, "a pear", label, key=f"k{n}") for n, label in enumerate(["fruit", "tool"])]
    found, left = labels_of(*voices)
    assert found == {}
    assert left == {"contradicted by as many, or outvoted": 2}
    found, left = labels_of(*voices, said(3, "A  pear!", "fruit", key="k3"))
    assert found == {"A  pear!": "fruit"}
    assert left == {
        "contradicted by as many, or outvoted": 1,
        "the same as another one of that input": 1,
    }


def test_the_workspaces_own_people_decide() -> None:
    strangers = [said(n, "a pear", "tool", key=f"k{n}") for n in range(9)]
    assert labels_of(*strangers, said(10, "a pear", "fruit", key=None))[0] == {"a pear": "fruit"}


def test_a_full_rating_confirms_the_answer_and_others_say_nothing() -> None:
    right = said(1, "a pear", None, rating=1.0, answered="fruit")
    half = said(2, "a saw", None, rating=0.5, answered="fruit")
    assert labels_of(right)[0] == {"a pear": "fruit"}
    assert labels_of(half)[0] == {}


def test_what_cannot_be_trained_on_is_counted() -> None:
    found, left = labels_of(said(1, None, "fruit"), said(2, "a pear", "vegetable"))
    assert found == {}
    assert left == {
        "without an input, because nobody kept it": 1,
        "with a label that the task has no more": 1,
    }


votes = st.lists(
    st.tuples(
        st.sampled_from(["a pear", "a saw", "an axe"]),
        st.sampled_from(sorted(LABELS)),
        st.sampled_from(["k1", "k2", "k3"]),
    ),
    max_size=20,
)


@given(votes)
@settings(max_examples=200)
def test_every_label_that_is_trained_on_has_more_voices_than_any_other(
    given: list[tuple[str, str, str]],
) -> None:
    feedback = [said(n, text, label, key=key) for n, (text, label, key) in enumerate(given)]
    found, left = labels_of(*feedback)
    last = {(text, key): label for text, label, key in given}
    for text in {text for text, _, _ in given}:
        counts = Counter(label for (of, _), label in last.items() if of == text)
        (first, most), *others = counts.most_common()
        if others and others[0][1] == most:
            assert text not in found
        else:
            assert found[text] == first
    assert len(found) + sum(left.values()) == len(feedback)


@pytest.fixture
def speak(context: Context, things: str) -> Callable[..., None]:
    """Puts feedback on the task into the ledger."""
    task = read_task(context.root, things)
    from milepost.workflows.tasks.current import current_task

    current_task(context, task.name)

    def put(*feedback: Feedback) -> None:
        # All at once: a thousand commits would wait for the disk a thousand times.
        rows = [
            {
                "tenant": "default",
                "digest": content_digest(each),
                "record": to_json(each),
                **{n: getattr(each, n) for n in ("id", "task", "trace", "release", "channel")},
                **{n: getattr(each, n) for n in ("key", "at")},
            }
            for each in feedback
        ]
        with context.ledger.database.write("default") as connection:
            connection.execute(sa.insert(tables.feedback), rows)

    return put


def material_of(context: Context) -> Material:
    task = read_task(context.root, "things")
    return prepare(context, task, ContestId("c1"), feedback_for(context, task))


def test_rows_of_feedback_stand_behind_and_are_kept_with_the_snapshot(
    context: Context, speak: Callable[..., None]
) -> None:
    speak(said(1, "a sharp new axe", "tool"), said(2, "a bowl of plums", "fruit", key=None))
    material = material_of(context)
    assert material.own == 20
    assert material.train.sources[20:] == ("feedback:nobody", "feedback:k1")
    assert material.train.ids[20:] == (f"f{2:032x}", f"f{1:032x}")
    assert material.train.labels[20:] == ("fruit", "tool")
    again = prepared(context, material.split)
    assert again.train == material.train or again.train.texts == material.train.texts
    assert again.own == 20
    dataset = context.ledger.dataset(material.examples_digest)
    assert dataset.rows == 22
    told = {finding.check: finding for finding in material.quality.findings}
    assert told["feedback"].count == 2
    assert "2 corrections from feedback of 2 keys are trained on" in told["feedback"].summary


def test_without_being_asked_nothing_changes(context: Context, speak: Callable[..., None]) -> None:
    task = read_task(context.root, "things")
    before = prepare(context, task, ContestId("c1"))
    speak(said(1, "a sharp new axe", "tool"))
    assert prepare(context, task, ContestId("c1")).examples_digest == before.examples_digest
    assert b"feedback" not in msgspec.json.encode(before.split)


def test_no_feedback_is_said_to_be_none(context: Context, speak: Callable[..., None]) -> None:
    del speak
    material = material_of(context)
    assert len(material.train) == material.own == 20
    assert "There is no feedback to train on." in [f.summary for f in material.quality.findings]


LONG = "please tell me where the big red hammer and the small blue saw from the {} shop are now"


@pytest.fixture
def alike(write: Callable[..., Path], things: str) -> Sequence[tuple[str, str, str]]:
    """The examples, and some whose near-duplicates are known."""
    del things
    rows = [
        (f"l{n}", LONG.format(name) + f" in the {place} of the old town", "tool")
        for n, (name, place) in enumerate(
            [("corner", "east"), ("harbour", "very far north"), ("market", "deep and dark south")]
        )
    ]
    plain = [
        (f"p{n}", f"{a} {b} {c} of this", label)
        for n, (a, b, c, label) in enumerate(
            (a, b, c, label)
            for label, a in (("fruit", "sweet"), ("tool", "hard"))
            for b in ("old", "new", "big", "odd")
            for c in ("one", "two", "six")
        )
    ]
    write([*rows, *plain])
    return [*rows, *plain]


def test_the_like_of_an_example_goes_where_that_goes(
    context: Context, alike: Sequence[tuple[str, str, str]], speak: Callable[..., None]
) -> None:
    like = alike[0][1] + " today"
    assert len(set(group_texts([alike[0][1], like], 0.8).groups)) == 1
    speak(said(1, like, "fruit"), said(2, "something else altogether", "fruit"))
    material = material_of(context)
    more = dict(
        zip(material.train.texts[material.own :], range(material.own, len(material.train)),
            strict=True)
    )  # fmt: skip
    assert material.train.groups[more[like]] == material.train.groups[0]
    folding = fold_examples(material.train, material.train_y, 5, 0, material.own)
    for fold in range(folding.count):
        groups = {material.train.groups[i] for i in folding.fitted_on(fold).tolist()}
        inside = {material.train.groups[i] for i in folding.inside(fold).tolist()}
        assert not groups & inside


def test_what_the_examples_have_already_and_what_joins_them_is_left_out(
    context: Context, alike: Sequence[tuple[str, str, str]], speak: Callable[..., None]
) -> None:
    speak(said(1, alike[0][1].upper(), "fruit"), said(2, alike[5][1], "tool"))
    material = material_of(context)
    assert len(material.train) == material.own
    told = {finding.check: finding for finding in material.quality.findings}
    assert told["feedback_left_out"].examples == (
        "2 about an input that the task's own examples have",
    )


def test_the_like_of_the_test_file_is_never_trained_on(
    context: Context,
    alike: Sequence[tuple[str, str, str]],
    write: Callable[..., Path],
    speak: Callable[..., None],
) -> None:
    hidden = "what on earth is this green thing with two handles that my uncle left in the shed"
    write([("t1", hidden, "tool"), ("t2", "a ripe banana", "fruit")], "test.csv")
    file = context.root / "tasks/things.yaml"
    file.write_text(file.read_text().replace("id: id}", "id: id, test: data/test.csv}"))
    speak(
        said(1, hidden, "fruit"), said(2, hidden + " yesterday", "fruit"), said(3, "new", "fruit")
    )
    material = material_of(context)
    assert material.regime == "test_file"
    assert material.train.texts[material.own :] == ("new",)
    assert material.holdout is not None
    assert material.holdout.sources[0].startswith("data/test.csv")


def test_what_one_key_says_is_limited_and_the_newest_counts(
    context: Context, speak: Callable[..., None]
) -> None:
    speak(*(said(n, f"thing number {n} of many", "tool") for n in range(FEWEST + 30)))
    speak(*(said(100 + n, f"other number {n} of many", "tool", key=None) for n in range(50)))
    material = material_of(context)
    counts = Counter(material.train.sources[material.own :])
    assert counts == {"feedback:k1": FEWEST, "feedback:nobody": 50}
    assert f"thing number {FEWEST + 29} of many" in material.train.texts
    assert "thing number 0 of many" not in material.train.texts


def run(context: Context, *, with_feedback: bool) -> Improvement:
    return improve(context, "things", Options(strategies=HEAD, with_feedback=with_feedback))


def test_only_own_examples_are_judged_and_counted(
    context: Context, speak: Callable[..., None]
) -> None:
    speak(*(said(n, f"a heavy wrench number {n}", "tool") for n in range(15)))
    done = run(context, with_feedback=True)
    card = next(c.scorecard for c in done.contest.candidates if c.chosen)
    assert card is not None
    assert card.objective.n == 20
    assert any("Trained on 15 corrections from feedback" in note for note in card.notes)
    assert {f.check for f in done.quality.findings} >= {"feedback"}
    # The same again is the same contest's work; more feedback is another.
    assert len(context.ledger.contests("things")) == 1


def test_a_thousand_wrong_corrections_of_one_key_release_nothing_worse(
    context: Context, speak: Callable[..., None], write: Callable[..., Path]
) -> None:
    words = ("apple", "pear", "plum", "grape"), ("hammer", "saw", "axe", "drill")
    own = [
        (f"o{n}-{a}", f"{a} and {b} in box {n}", label)
        for n in range(8)
        for names, label in zip(words, ("fruit", "tool"), strict=True)
        for a, b in pairwise(names)
    ]
    write(own)
    first = run(context, with_feedback=False)
    assert first.contest.decision.verdict == "released"
    poison = [
        said(n, f"{names[n % 4]} number {n} or {names[(n + 1) % 4]}", label, key="k666")
        for n in range(1000)
        for names, label in ((words[n % 2], ("tool", "fruit")[n % 2]),)
    ]
    speak(*poison)
    second = run(context, with_feedback=True)
    assert second.contest.decision.verdict != "released"
    channel = context.ledger.channel("things")
    assert channel is not None
    assert channel.release == 1
    told = {finding.check: finding for finding in second.quality.findings}
    assert told["feedback"].count == max(FEWEST, len(own) // 2)


@given(st.data())
@settings(max_examples=60)
def test_with_times_no_model_sees_what_came_later_nor_its_like(data: st.DataObject) -> None:
    n, more = data.draw(st.integers(12, 30)), data.draw(st.integers(1, 12))
    names = st.sampled_from([f"g{i}" for i in range(20)])
    groups = [f"own{i}" if i % 3 else data.draw(names) for i in range(n)]
    groups += data.draw(st.lists(names, min_size=more, max_size=more))
    times = [float(i) for i in range(n)] + data.draw(
        st.lists(st.floats(0, 2 * n), min_size=more, max_size=more)
    )
    total = n + more
    blank = ("",) * total
    examples = Examples(
        ids=tuple(map(str, range(total))),
        texts=blank,
        labels=("a",) * total,
        groups=tuple(groups),
        sources=blank,
        times=tuple(times),
    )
    y = np.arange(total) % 2
    own = fold_examples(examples.take(range(n)), y[:n], 4, 0)
    folding = fold_examples(examples, y, 4, 0, n)
    assert np.array_equal(folding.fold_of[:n], own.fold_of)
    assert not folding.counts[n:].any()
    for row in np.flatnonzero(folding.counts).tolist():
        fold = int(folding.fold_of[row])
        assert fold >= FIRST
        begin = min(times[i] for i in np.flatnonzero(own.fold_of == fold).tolist())
        seen = folding.fitted_on(fold).tolist()
        assert all(times[i] < begin for i in seen)
        assert groups[row] not in {groups[i] for i in seen}
