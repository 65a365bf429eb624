"""Folds over several tasks: nothing that says the same is learned by who answers it."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from milepost._base.digest import canonical_json
from milepost.entities.errors import DataError, InputError
from milepost.entities.ids import ContestId, Digest
from milepost.entities.together import JoinedTask, Together
from milepost.workflows.contest.datasets import prepare
from milepost.workflows.tasks.current import current_task
from milepost.workflows.together.joining import Part, join, shared_groups, unfit
from milepost.workflows.together.stored import joint_of


@pytest.fixture
def part(context):
    def made(name):
        task = current_task(context, name)
        return Part(task, prepare(context, task, ContestId("c000000000000")))

    return made


def joined(*parts, count=3):
    return join(parts, threshold=0.8, count=count, seed=0)


def test_a_text_of_two_tasks_lies_in_one_fold_of_both(add, part, rows_of):
    rows = rows_of("fruit", "tool")
    other = [(text, "good" if label == "fruit" else "bad") for text, label in rows]
    found, _ = joined(part(add("things", rows)), part(add("mood", other)))
    assert np.array_equal(*found.folds)
    assert found.count == 3


def test_what_an_adapter_sees_holds_nothing_of_its_fold_of_any_task(add, part, rows_of):
    rows = rows_of("fruit", "tool")
    mixed = [*rows[:10], *rows_of("north", "south")]
    found, _ = joined(part(add("things", rows)), part(add("places", mixed)))
    for fold in range(found.count):
        seen = {text for corpus in found.corpora(fold) for text in corpus.texts}
        for each, fold_of in zip(found.parts, found.folds, strict=True):
            texts = np.array(each.material.train.texts)
            assert not seen & set(texts[fold_of == fold].tolist())
    whole = {text for corpus in found.corpora(None) for text in corpus.texts}
    assert whole == {text for text, _ in (*rows, *mixed)}


def test_what_another_tasks_test_file_says_is_learned_by_no_adapter(add, part, context, rows_of):
    rows = rows_of("fruit", "tool")
    test = [(rows[0][0].upper() + "!", "north"), ("somewhere in the south", "south")]
    add("tested", test)
    add("places", rows_of("north", "south"))
    file = context.root / "tasks/places.yaml"
    text = file.read_text().replace("id: id}", "id: id, test: data/tested.csv}")
    file.write_text(text)
    found, _ = joined(part(add("things", rows)), part("places"))
    assert found.barred[0].tolist() == [True] + [False] * 19
    assert rows[0][0] not in {t for corpus in found.corpora(None) for t in corpus.texts}
    assert found.tasks()[0].tuned == 19


def test_labels_are_spread_over_the_folds_of_each_task(add, part, rows_of):
    found, _ = joined(
        part(add("things", rows_of("fruit", "tool"))), part(add("places", rows_of("up", "down")))
    )
    for each, fold_of in zip(found.parts, found.folds, strict=True):
        counts = [np.bincount(each.material.train_y[fold_of == f], minlength=2) for f in range(3)]
        assert np.min(counts) >= 3


def test_a_small_task_is_left_out_with_its_reason(add, part, rows_of):
    few = part(add("few", rows_of("yes", "no")[:6]))
    found, left_out = joined(
        part(add("things", rows_of("fruit", "tool"))), few, part(add("ends", rows_of("up", "down")))
    )
    assert [each.task.name for each in found.parts] == ["things", "ends"]
    assert left_out[0].task == "few"
    assert "6 training examples" in left_out[0].why


def test_one_task_alone_is_refused(add, part, rows_of):
    with pytest.raises(InputError, match="fewer than two tasks"):
        joined(part(add("things", rows_of("fruit", "tool"))))


def test_a_task_judged_on_what_came_later_is_named(add, context, rows_of):
    add("things", rows_of("fruit", "tool"))
    file = context.root / "tasks/things.yaml"
    file.write_text(file.read_text().replace("id: id}", "id: id, time: sent}"))
    assert "came later" in unfit(current_task(context, "things"))


def test_groups_of_one_task_hold_across_others(part, add, rows_of):
    rows = rows_of("fruit", "tool")
    one = part(add("things", rows)).material.train
    two = part(add("again", rows[:12])).material.train
    found = shared_groups({"things": [one], "again": [two]}, 0.8)
    assert found["things"][0][:12] == found["again"][0]
    assert len(set(found["things"][0])) == 20


def test_a_record_of_other_examples_is_refused(add, part, context, rows_of):
    material = part(add("things", rows_of("fruit", "tool"))).material
    nothing = Digest("0" * 64)
    record = Together(
        encoder=nothing,
        tasks=(JoinedTask(name="things", examples=nothing, folds={"x": 0}, tuned=1),),
        adapters=(), whole=nothing, seed=0, tuning={}, mix={}, steps=(), seconds=0.0,
    )  # fmt: skip
    digest = context.artifacts.put(canonical_json(record))
    split = msgspec.structs.replace(material.split, together=digest)
    with pytest.raises(DataError, match="not those"):
        joint_of(context, "things", replace(material, split=split))
