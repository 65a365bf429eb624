from dataclasses import replace

import pytest

from milepost.data.load import load_table
from milepost.entities.errors import DataError, InputError, TaskFileError
from milepost.entities.task import Objective, Task
from milepost.workflows.tasks.checking import check
from milepost.workflows.tasks.files import read_task, task_names
from milepost.workflows.tasks.ingest import (
    Columns,
    add_file,
    add_task,
    free_name,
    make_task,
    plan_workspace,
)

FRUIT = [{"text": f"{word} {i}", "label": word} for i in range(6) for word in ("apples", "pears")]


@pytest.mark.parametrize(
    "task",
    [
        Task(name="../up"),
        Task(name="Not A Name"),
        Task(name="ok", kind="sort"),
    ],
)
def test_a_task_that_no_file_could_hold_is_refused(context, task):
    with pytest.raises(TaskFileError):
        add_task(context, task, FRUIT, None)
    assert task_names(context.root) == []
    assert list((context.root / "data").iterdir()) == []
    assert not (context.root.parent / "up.yaml").exists()


def test_misspelt_labels_are_named_while_no_label_is_declared(context):
    rows = [*FRUIT, {"text": "one more", "label": "aples"}]
    plan = plan_workspace(rows, "fruit", Columns(), Objective())
    assert "label_typos" in {finding.check for finding in plan.quality.findings}
    assert list(plan.task.labels) == ["aples", "apples", "pears"]


def test_files_of_a_task_never_overwrite_each_other(context):
    names = []
    for _ in range(3):
        names.append(free_name(context.root, "fruit", ".csv"))
        (context.root / names[-1]).write_text("x")
    assert names == ["data/fruit.csv", "data/fruit-2.csv", "data/fruit-3.csv"]


def test_columns_under_other_names_are_renamed_to_the_declared_ones(context):
    add_task(context, Task(name="fruit"), FRUIT, None)
    others = [{"body": "pears 9", "kind": "pears", "text": "not this"}]
    task, quality = add_file(
        context, "fruit", others, "examples", Columns(text="body", label="kind")
    )
    assert quality.labelled == 13
    assert task.data.example_files == ("data/fruit.parquet", "data/fruit-2.parquet")


def test_labels_that_the_task_does_not_know_are_refused(context):
    add_task(context, Task(name="fruit"), FRUIT, None)
    before = (context.root / "tasks/fruit.yaml").read_bytes()
    with pytest.raises(DataError, match="perhaps 'pears'"):
        add_file(context, "fruit", [{"text": "p", "label": "paers"}], "examples", Columns())
    assert (context.root / "tasks/fruit.yaml").read_bytes() == before
    assert len(list((context.root / "data").iterdir())) == 1


def test_a_second_task_of_the_same_name_is_refused(context):
    add_task(context, Task(name="fruit"), FRUIT, None)
    with pytest.raises(InputError, match="there is a task 'fruit' already"):
        add_task(context, Task(name="fruit"), FRUIT, None)


def test_check_raises_nothing_that_a_task_can_get_wrong(context):
    add_task(context, Task(name="fruit"), FRUIT, FRUIT[:2])
    (context.root / "tasks/broken.yaml").write_text("name: broken\nkind: 3\n")
    (context.root / "tasks/empty.yaml").write_text("name: empty\n")
    results = {result.task: result for result in check(context, None)}
    assert results["fruit"].problems == ()
    assert results["fruit"].test_quality is not None
    assert results["broken"].problems[0].line == 2
    assert "names no data" in results["empty"].problems[0].what
    assert read_task(context.root, "fruit").labels.keys() == {"apples", "pears"}


def test_check_finds_what_is_declared_and_cannot_be_used_on_its_line(context):
    add_task(context, Task(name="fruit"), FRUIT, None)
    file = context.root / "tasks/fruit.yaml"
    plain = file.read_text()
    lines = len(plain.splitlines())

    def found(*declared):
        file.write_text(plain + "\n".join(declared) + "\n")
        (result,) = check(context, "fruit")
        return [str(problem) for problem in result.problems]

    (said,) = found("fairness:", "  terms: {}", "  by: [colour]")
    assert said.startswith(f"tasks/fruit.yaml:{lines + 3}: fairness.by: ")
    first = "  - {name: shout, kind: invariance, change: upper_case}"
    (said,) = found("behaviour:", first, "  - {name: typo, kind: invariance, change: typoes}")
    assert said.startswith(f"tasks/fruit.yaml:{lines + 3}: behaviour.1: ")
    assert "typos" in said
    (said,) = found("behaviour:", "  - {name: must, kind: minimum, file: none.csv}")
    assert said.startswith("none.csv: ")
    (said,) = found("out_of_scope: {label: plums}")
    assert f"tasks/fruit.yaml:{lines + 1}: out_of_scope:" in said
    assert found("behaviour:", first) == []


def test_a_side_of_a_pair_may_be_an_image_but_not_to_rank():
    table = load_table([{"said": "red", "shot": "a.png", "label": "yes"}])
    both = Columns(pair=("said", "shot"), image="shot")
    assert make_task(table, "t", both, Objective()).images == ("right",)
    with pytest.raises(InputError, match="rank reads no images"):
        make_task(table, "t", replace(both, kind="rank"), Objective())
    with pytest.raises(InputError, match="'label' is none of the pair: said, shot"):
        make_task(table, "t", replace(both, image="label"), Objective())
