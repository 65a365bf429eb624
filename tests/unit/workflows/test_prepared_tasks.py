"""Steps of a task through its contests: pinned, recorded, each release on its own reading."""

import msgspec
import pytest

from milepost.data.snapshot import read_snapshot, snapshot_digest, write_snapshot
from milepost.entities.errors import DataError, InputError
from milepost.entities.task import InputField, Task
from milepost.workflows.contest.datasets import check_repeatable, load, task_preparation
from milepost.workflows.contest.examining import known_texts, prepared_where_new
from milepost.workflows.contest.honest import as_asked
from milepost.workflows.contest.improve import improve
from milepost.workflows.contest.options import Options
from milepost.workflows.release.bundles import find_answerer, inputs_for
from milepost.workflows.tasks.current import current_task

OPTIONS = Options(strategies=("head_closed_form",))


@pytest.fixture
def shouting(context, rows, write):
    """The same task with its inputs in capitals, and steps that undo it."""
    write([(i, f"{text.upper()} 007", label) for i, text, label in rows])

    def declared(*steps: str) -> str:
        told = ", ".join(f'"{step}"' for step in steps)
        (context.root / "tasks/things.yaml").write_text(
            "name: things\nlabels: {fruit: '', tool: ''}\nobjective: {at_least: 0.1}\n"
            f"inputs: {{text: {{prepare: [{told}]}}}}\n"
            "data: {examples: data/things.csv, id: id}\n"
        )
        return "things"

    return declared


def own(context, body: str) -> str:
    (context.root / "prepare.py").write_text(f"def quiet(text):\n    return {body}\n")
    return "own:prepare.py:quiet"


def test_examples_are_read_prepared_and_keep_what_was_asked(context, shouting, rows):
    task = current_task(context, shouting("lower_case", "mask_numbers"))
    examples = load(context, task).examples.examples
    assert examples.texts == tuple(f"{text} 0" for _, text, _ in rows)
    assert examples.originals == tuple(f"{text.upper()} 007" for _, text, _ in rows)
    assert examples.take([3]).asked == (f"{rows[3][1].upper()} 007",)
    again = read_snapshot(write_snapshot(examples))
    assert again.originals == examples.originals
    assert snapshot_digest(again) == snapshot_digest(examples)
    assert snapshot_digest(as_asked(examples)) != snapshot_digest(examples)


def test_a_release_names_its_steps_and_reads_by_them_alone(context, shouting, rows):
    name = shouting("lower_case", own(context, "text.replace(' 007', '')"))
    improve(context, name, OPTIONS)
    answerer = find_answerer(context, name, 1, None)
    steps = answerer.manifest.prepare
    assert isinstance(steps, tuple)
    assert steps[0] == "lower_case"
    assert steps[1].startswith("own:prepare.py:quiet@")
    # The task file says otherwise now; what is asked of the release is read as ever.
    task = current_task(context, shouting("mask_numbers"))
    examples = load(context, task).examples.examples
    assert inputs_for(context, answerer.manifest, examples) == [text for _, text, _ in rows]
    own(context, "text")
    with pytest.raises(InputError, match="is not the file that this was made with"):
        inputs_for(context, answerer.manifest, examples)


def test_a_new_contest_compares_honestly_with_a_release_of_other_steps(context, shouting):
    name = shouting("lower_case")
    improve(context, name, OPTIONS)
    done = improve(context, shouting("lower_case", "mask_numbers"), OPTIONS)
    # All was trained on before; only out-of-fold answers to the same asked text count.
    decision = done.contest.decision
    assert decision is not None
    assert "release 1" in " ".join(decision.reasons)


def test_a_task_without_steps_is_what_it_was(context, things):
    task = current_task(context, things)
    examples = load(context, task).examples.examples
    assert examples.originals == ()
    assert examples.asked is examples.texts
    improve(context, "things", OPTIONS)
    manifest = find_answerer(context, things, 1, None).manifest
    assert isinstance(manifest.prepare, msgspec.UnsetType)
    assert b"prepare" not in msgspec.json.encode(manifest)


def test_what_depends_on_more_than_the_text_is_refused(context, shouting):
    step = own(context, "text + str(next(count))")
    file = context.root / "prepare.py"
    file.write_text("import itertools\n\ncount = itertools.count()\n\n\n" + file.read_text())
    task = current_task(context, shouting(step))
    examples = load(context, task).examples.examples
    with pytest.raises(DataError, match="another text each time"):
        check_repeatable(task_preparation(context, task), examples)
    with pytest.raises(DataError, match="another text each time"):
        improve(context, "things", OPTIONS)
    assert context.ledger.contests("things") == ()


def test_what_an_examination_changes_is_prepared_and_nothing_twice(context, shouting):
    task = current_task(context, shouting(own(context, "text.lower() + '!'")))
    examples = load(context, task).examples.examples
    known = known_texts((examples,))
    texts = [examples.texts[0], "NEW", examples.texts[1], "NEW"]
    prepare = task_preparation(context, task)
    expected = [texts[0], "new!", texts[2], "new!"]
    assert prepared_where_new(prepare, texts, known) == expected


def test_steps_of_a_task_made_in_python_are_checked():
    with pytest.raises(ValueError, match="Did you mean 'strip_html'"):
        Task(name="t", inputs={"text": InputField(prepare=("strip_htm",))})
